//! `/tmp` of a sandbox: a sparse ext4 image in an unlinked file of the data directory, behind a loop device.
//!
//! Pages of a tmpfs would count against the memory limit, and a function of 128 MiB may write 512 MiB to
//! its `/tmp`. The file has no name and the loop device clears itself when the mount goes, so nothing is
//! left after any kind of death. Where loop devices are refused: a tmpfs of the same size, and the
//! broker's report says so.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, SeekFrom};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::tree::{Tree, in_memory};
use crate::failure::{At, Failure};
use crate::system;

/// The size that is prepared before it is asked for.
pub(crate) const USUAL_BYTES: u64 = 512 << 20;

/// Where the program that makes file systems may be.
const MAKE: [&str; 3] = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4"];

/// How often another process may take the loop device that we were about to take.
const TRIES: usize = 64;

const LOOP_CONFIGURE: u64 = 0x4c0a;
const LOOP_GET_FREE: u64 = 0x4c82;
const FLAG_CLEARS_ITSELF: u32 = 4;
const FLAG_DIRECT: u32 = 16;

/// `struct loop_config` with `struct loop_info64` inside.
#[repr(C)]
struct LoopConfiguration {
    descriptor: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: u32,
    encryption_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    encryption_name: [u8; 64],
    encryption_key: [u8; 32],
    initial: [u64; 2],
    reserved: [u64; 8],
}

/// An image with an empty file system, from which those of its size are copied.
#[derive(Debug)]
pub(crate) struct Template {
    image: OwnedFd,
    bytes: u64,
}

// === impl Template ===

impl Template {
    /// Makes one of the usual size. It takes a few hundred kilobytes of disk and no name.
    pub(crate) fn make(directory: &Path) -> Result<Self, Failure> {
        let template = Self::begin(directory, USUAL_BYTES)?;
        format(&template.image, USUAL_BYTES)?;
        Ok(template)
    }

    /// One that is not formatted yet.
    pub(crate) fn begin(directory: &Path, bytes: u64) -> Result<Self, Failure> {
        let image =
            unnamed(directory, on_disk(bytes)).at(|| format!("make an image in {}", directory.display()))?;
        Ok(Self { image, bytes })
    }

    /// One that came from another process.
    pub(crate) fn received(image: OwnedFd, bytes: u64) -> Self {
        Self { image, bytes }
    }

    /// The size of the `/tmp` that is copied from it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Another descriptor of the same image.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.image.try_clone()
    }

    /// Its descriptor, which a shell keeps when it closes all others.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.image.as_fd()
    }

    /// A new image with the same content. Only the few blocks that hold anything are copied.
    fn copy(&self, directory: &Path) -> io::Result<OwnedFd> {
        let copy = unnamed(directory, on_disk(self.bytes))?;
        let mut position = 0;
        loop {
            let start = match rustix::fs::seek(&self.image, SeekFrom::Data(position)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => return Ok(copy),
                Err(error) => return Err(error.into()),
            };
            position = rustix::fs::seek(&self.image, SeekFrom::Hole(start))?;
            copy_range(&self.image, &copy, start, position)?;
        }
    }
}

/// Mounts an image of this size at `/tmp`.
pub(crate) fn mount_image(
    tree: &Tree,
    directory: &Path,
    bytes: u64,
    template: &Template,
) -> Result<(), Failure> {
    let mount = image(directory, bytes, template)?;
    tree.mount(&mount, Path::new("/tmp")).at(|| "mount /tmp")
}

/// An image of this size, mounted nowhere yet; a copy of the template where that is of this size.
pub(crate) fn image(directory: &Path, bytes: u64, template: &Template) -> Result<OwnedFd, Failure> {
    let image = if bytes == template.bytes {
        template.copy(directory).at(|| "copy the image of /tmp")?
    } else {
        let own = Template::begin(directory, bytes)?;
        format(&own.image, bytes)?;
        own.image
    };
    let device = attach_loop(&image).at(|| "attach a loop device for /tmp")?;
    let mount = mount_ext4(&device).at(|| format!("mount {device}"))?;
    // Anybody inside may write, only the owner may delete: as everywhere.
    let top =
        rustix::fs::openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .at(|| "open /tmp")?;
    rustix::fs::fchmod(&top, Mode::from_raw_mode(0o1777)).at(|| "change the mode of /tmp")?;
    // What a check of the file system would need, which there never is: programs expect to find nothing.
    rustix::fs::unlinkat(&top, "lost+found", AtFlags::REMOVEDIR).at(|| "empty /tmp")?;
    Ok(mount)
}

/// Mounts memory of this size at `/tmp`.
pub(crate) fn mount_memory(tree: &Tree, bytes: u64) -> Result<(), Failure> {
    tree.mount(&memory(bytes)?, Path::new("/tmp")).at(|| "mount /tmp")
}

/// Memory of this size, mounted nowhere yet.
pub(crate) fn memory(bytes: u64) -> Result<OwnedFd, Failure> {
    in_memory(&bytes.to_string(), "1777").at(|| "make /tmp in memory")
}

fn unnamed(directory: &Path, bytes: u64) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, directory, flags, Mode::from_raw_mode(0o600))?;
    rustix::fs::ftruncate(&file, bytes)?;
    Ok(file)
}

/// How large an image is in which a file of so many bytes fits: the file system needs room of its own, for inodes and
/// bitmaps, and keeps a fiftieth, at most 16 MiB, for what it did not see coming.
fn on_disk(bytes: u64) -> u64 {
    let groups = bytes.div_ceil(128 << 20);
    let own = inodes(bytes) * 256 + groups * (32 << 10) + (256 << 10);
    let kept = ((bytes + own) / 49).min(16 << 20);
    (bytes + own + kept).next_multiple_of(4096)
}

fn inodes(bytes: u64) -> u64 {
    (bytes / 16384).clamp(16, 262_144)
}

/// Makes an empty file system in an image. It takes several milliseconds, in a program of its own.
pub(crate) fn format(image: &OwnedFd, bytes: u64) -> Result<(), Failure> {
    let program = MAKE
        .iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| Failure::new("find mkfs.ext4", "not installed: install e2fsprogs"))?;
    let inodes = inodes(bytes).to_string();
    let input = image.try_clone().at(|| "share the image")?;
    // No journal: the file system never outlives its sandbox.
    let output = Command::new(program)
        .args(["-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0", "-N", &inodes])
        .args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "/proc/self/fd/0"])
        .stdin(Stdio::from(File::from(input)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env_clear()
        .output()
        .at(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Failure::new(format!("run {program}"), format!("{}: {reason}", output.status)))
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let (mut source, mut target) = (start, start);
    while source < end {
        let left = usize::try_from(end - source).unwrap_or(usize::MAX);
        if rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), left)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Attaches an image to a free loop device and returns the device's path. The device clears itself with
/// its last user: until it is mounted that is the descriptor held here, so it is opened again by path
/// only while this one lives.
fn attach_loop(image: &OwnedFd) -> io::Result<LoopDevice> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = rustix::fs::open("/dev/loop-control", flags, Mode::empty())?;
    for _ in 0..TRIES {
        let number = system::control_number(&control, LOOP_GET_FREE, 0)?;
        let path = format!("/dev/loop{number}");
        let device = rustix::fs::open(&path, flags, Mode::empty())?;
        match configure(&device, image, FLAG_CLEARS_ITSELF | FLAG_DIRECT).or_else(|error| {
            match error.raw_os_error() {
                Some(libc::EINVAL) => configure(&device, image, FLAG_CLEARS_ITSELF),
                _ => Err(error),
            }
        }) {
            Ok(()) => return Ok(LoopDevice { path, _open: device }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "every free loop device was taken by somebody else"))
}

/// A configured loop device that nobody has mounted yet.
struct LoopDevice {
    path: String,
    _open: OwnedFd,
}

// === impl LoopDevice ===

impl std::fmt::Display for LoopDevice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.path)
    }
}

fn configure(device: &OwnedFd, image: &OwnedFd, flags: u32) -> io::Result<()> {
    let mut configuration = LoopConfiguration {
        descriptor: u32::try_from(image.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
        block_size: 0,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encryption: 0,
        encryption_key_size: 0,
        flags,
        file_name: [0; 64],
        encryption_name: [0; 64],
        encryption_key: [0; 32],
        initial: [0; 2],
        reserved: [0; 8],
    };
    system::control(device, LOOP_CONFIGURE, &mut configuration).map(drop)
}

fn mount_ext4(device: &LoopDevice) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "source", device.path.as_str())?;
    // Nothing is ever recovered from it: no flushes, and no thread that zeroes tables in the background.
    rustix::mount::fsconfig_set_flag(context.as_fd(), "nobarrier")?;
    rustix::mount::fsconfig_set_flag(context.as_fd(), "noinit_itable")?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
