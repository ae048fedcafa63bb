//! Zips made by hand, byte by byte, because no honest library writes the ones that attack.

use std::io::Write as _;

use bytes::Bytes;

pub const FILE: u32 = 0o100_644;
pub const PROGRAM: u32 = 0o100_755;
pub const LINK: u32 = 0o120_777;
pub const DIRECTORY: u32 = 0o040_755;

/// One entry, stored without compression.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub content: Vec<u8>,
    /// The Unix mode with its type.
    pub mode: u32,
    /// What the zip says its size is, where that is a lie.
    pub declared_size: Option<u32>,
    /// The general purpose flags.
    pub flags: u16,
    /// The compression method.
    pub method: u16,
}

pub fn entry(name: &str, content: &str, mode: u32) -> Entry {
    let content = content.as_bytes().to_vec();
    Entry { name: name.to_owned(), content, mode, declared_size: None, flags: 1 << 11, method: 0 }
}

pub fn file(name: &str) -> Entry {
    entry(name, "content", FILE)
}

/// A zip of some entries.
pub fn zip(entries: &[Entry]) -> Bytes {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = u32::try_from(bytes.len()).unwrap();
        let common = common_fields(entry);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(entry.name.as_bytes());
        bytes.extend(&entry.content);
        directory.extend(b"PK\x01\x02");
        // Made on Unix.
        directory.extend([20, 3]);
        directory.extend(&common);
        // No comment, disk 0, no internal attributes; the mode is the upper half of the external ones.
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let start = u32::try_from(bytes.len()).unwrap();
    let size = u32::try_from(directory.len()).unwrap();
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    Bytes::from(bytes)
}

/// A small package whose file `package/app.py` has this content.
pub fn valid(content: &str) -> Bytes {
    zip(&[
        entry("package/app.py", content, FILE),
        entry("bootstrap", "#!/bin/sh\n", PROGRAM),
        entry("package/link", "app.py", LINK),
        file("package/deep/er/file.txt"),
    ])
}

/// A zip of one file of zeros, compressed as far as it goes.
pub fn zeros(size: usize) -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("zeros", options).unwrap();
    writer.write_all(&vec![0; size]).unwrap();
    Bytes::from(writer.finish().unwrap().into_inner())
}

/// What the local header and the directory say alike.
fn common_fields(entry: &Entry) -> Vec<u8> {
    let size = u32::try_from(entry.content.len()).unwrap();
    let mut fields = Vec::new();
    fields.extend(20_u16.to_le_bytes());
    fields.extend(entry.flags.to_le_bytes());
    fields.extend(entry.method.to_le_bytes());
    // 1980-01-01.
    fields.extend([0, 0, 0x21, 0]);
    fields.extend(checksum(&entry.content).to_le_bytes());
    fields.extend(size.to_le_bytes());
    fields.extend(entry.declared_size.unwrap_or(size).to_le_bytes());
    fields.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
    fields.extend(0_u16.to_le_bytes());
    fields
}

/// CRC-32.
fn checksum(content: &[u8]) -> u32 {
    !content.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}
