//! The system call filters: compiled once by the broker and installed by each program just before exec;
//! and those of the server itself.
//!
//! Which calls are refused is data (`policy/`, a comment per entry). Two rules are code, since the compiler of
//! those files cannot say them: calls that are younger than it, or of the x32 numbering, do not exist; and
//! `listen` is reported to the broker. The `listen` filter never refuses anything.

use std::collections::HashMap;

use seccompiler::TargetArch;

/// For every program in a sandbox, and for the server too.
const POLICY: &str = include_str!("../policy/x86_64.json");
/// For embers and their instances besides.
const EMBER_POLICY: &str = include_str!("../policy/ember_x86_64.json");
/// For the server besides.
const SERVER_POLICY: &str = include_str!("../policy/server_x86_64.json");
/// The section of it that a server in the reduced mode does without.
const NO_SOCKETS: &str = "no_sockets";

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// First call number that is not in the compiler's table (`setxattrat`, Linux 6.13), so that no policy can
/// name it. What is younger does not exist, as on an older kernel: every program can live with that. The
/// numbers of x32, by which every rule could be passed, are higher still.
const UNNAMED: u32 = 463;

const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_NOTIFY: u32 = 0x7fc0_0000;
const RETURN_ERROR: u32 = 0x0005_0000;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;

/// One program for the kernel.
pub(crate) type Program = Vec<libc::sock_filter>;

/// Every filter of the `seccomp` layer, in the order of installation.
pub(crate) fn compile() -> Result<Vec<Program>, String> {
    let mut programs = vec![nothing_unnamed()];
    programs.extend(sections(POLICY)?.into_values());
    Ok(programs)
}

/// Those that an ember and its instances have besides: against each other, as they have one id and one IPC namespace.
pub(crate) fn compile_for_embers() -> Result<Vec<Program>, String> {
    Ok(sections(EMBER_POLICY)?.into_values().collect())
}

/// Every filter of the server; without `sockets` it opens no socket of its own any more.
pub(crate) fn compile_for_server(sockets: bool) -> Result<Vec<Program>, String> {
    let mut own = sections(SERVER_POLICY)?;
    if sockets {
        own.remove(NO_SOCKETS);
    }
    let mut programs = compile()?;
    programs.extend(own.into_values());
    Ok(programs)
}

/// Reports `listen` to whoever holds the listener descriptor; everything else passes.
pub(crate) fn listen_notification() -> Program {
    let number = u32::try_from(libc::SYS_listen).unwrap_or_default();
    vec![
        instruction(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 0, 3, ARCHITECTURE),
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
        instruction(JUMP_EQUAL, 0, 1, number),
        instruction(RETURN, 0, 0, RETURN_NOTIFY),
        instruction(RETURN, 0, 0, RETURN_ALLOW),
    ]
}

/// One program per section of a policy.
fn sections(policy: &str) -> Result<HashMap<String, Program>, String> {
    let compiled: HashMap<String, seccompiler::BpfProgram> =
        seccompiler::compile_from_json(policy.as_bytes(), TargetArch::x86_64)
            .map_err(|error| error.to_string())?;
    let ours = |section: &seccompiler::BpfProgram| {
        section.iter().map(|line| instruction(line.code, line.jt, line.jf, line.k)).collect()
    };
    Ok(compiled.iter().map(|(name, section)| (name.clone(), ours(section))).collect())
}

fn nothing_unnamed() -> Program {
    let absent = RETURN_ERROR | u32::try_from(libc::ENOSYS).unwrap_or_default();
    vec![
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
        instruction(JUMP_AT_LEAST, 0, 1, UNNAMED),
        instruction(RETURN, 0, 0, absent),
        instruction(RETURN, 0, 0, RETURN_ALLOW),
    ]
}

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_compiles_and_every_entry_says_why() {
        assert_eq!(compile().unwrap().len(), 5);
        assert_eq!(compile_for_server(false).unwrap().len(), 7);
        assert_eq!(compile_for_server(true).unwrap().len(), 6);
        for policy in [POLICY, SERVER_POLICY] {
            let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
            for (name, section) in policy.as_object().unwrap() {
                for entry in section["filter"].as_array().unwrap() {
                    let says = entry["comment"].as_str().is_some_and(|text| !text.is_empty());
                    assert!(says, "{name}: {entry}");
                }
            }
        }
    }
}
