//! The system call filters: compiled once by the broker, installed by each program just before exec.
//!
//! Which calls are refused is data (`policy/x86_64.json`, a comment per entry). Two rules are code, since
//! the compiler of that file cannot say them: calls of the x32 numbering do not exist, and `listen`
//! is reported to the broker. The `listen` filter never refuses anything.

use std::collections::HashMap;

use seccompiler::TargetArch;

const POLICY: &str = include_str!("../policy/x86_64.json");

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// First call number of the x32 numbering, by which every rule could be passed.
const X32: u32 = 0x4000_0000;

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
    let sections: HashMap<String, seccompiler::BpfProgram> =
        seccompiler::compile_from_json(POLICY.as_bytes(), TargetArch::x86_64)
            .map_err(|error| error.to_string())?;
    let mut programs = vec![no_x32()];
    for section in sections.into_values() {
        programs.push(section.iter().map(|line| instruction(line.code, line.jt, line.jf, line.k)).collect());
    }
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

fn no_x32() -> Program {
    let absent = RETURN_ERROR | u32::try_from(libc::ENOSYS).unwrap_or_default();
    vec![
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
        instruction(JUMP_AT_LEAST, 0, 1, X32),
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
        assert_eq!(compile().unwrap().len(), 4);
        let policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
        for (name, section) in policy.as_object().unwrap() {
            for entry in section["filter"].as_array().unwrap() {
                assert!(entry["comment"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {entry}");
            }
        }
    }
}
