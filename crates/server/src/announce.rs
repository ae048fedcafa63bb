//! What a server says when it is ready: a few calm lines on stderr for people, and with `--json` one line
//! on stdout for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::listeners::Addresses;
use crate::options::{Isolation, Options};

/// What `--isolation=process` means, said at every start.
const REDUCED: &str = "\
WARNING: --isolation=process: functions are ordinary processes of this user. They can read each
         other's files and environment, and this server's data. For trusted code only.";

/// Everything there is to say.
pub(crate) struct Announcement<'a> {
    pub options: &'a Options,
    pub addresses: Addresses,
    pub data_dir: &'a std::path::Path,
    pub runtimes: &'a [String],
    pub name: &'a str,
    pub broker_pid: u32,
    /// What this host does not give, a sentence each.
    pub shortcomings: &'a [String],
}

// === impl Announcement ===

impl Announcement<'_> {
    /// Says it. A closed stdout or stderr is not a reason to stop serving.
    pub(crate) fn make(&self) {
        let _unheard = io::stderr().lock().write_all(self.text().as_bytes());
        if self.options.json {
            let mut stdout = io::stdout().lock();
            let _unheard = writeln!(stdout, "{}", self.line()).and_then(|()| stdout.flush());
        }
    }

    fn text(&self) -> String {
        let Addresses { api, gateway, admin } = self.addresses;
        let port = gateway.port();
        let kept = if self.options.ephemeral { " (removed at the end)" } else { "" };
        let runtimes =
            if self.runtimes.is_empty() { "none found".to_owned() } else { self.runtimes.join(", ") };
        let mut text = format!(
            "lambent {version} is ready\n\
             \x20 functions  http://{gateway}  (http://NAME.localhost:{port}/)\n\
             \x20 AWS API    http://{api}\n\
             \x20 admin      http://{admin}\n\
             \x20 data       {data}{kept}\n\
             \x20 isolation  {isolation}\n\
             \x20 runtimes   {runtimes}\n",
            version = env!("CARGO_PKG_VERSION"),
            data = self.data_dir.display(),
            isolation = self.options.isolation,
        );
        for shortcoming in self.shortcomings {
            text.push_str(&format!("note: {shortcoming}\n"));
        }
        if self.options.isolation == Isolation::Process {
            text.push_str(REDUCED);
            text.push('\n');
        }
        text
    }

    fn line(&self) -> serde_json::Value {
        json!({
            "listen": self.addresses.api.to_string(),
            "gateway": self.addresses.gateway.to_string(),
            "admin": self.addresses.admin.to_string(),
            "pid": std::process::id(),
            "broker_pid": self.broker_pid,
            "isolation": self.options.isolation.to_string(),
            "name": self.name,
        })
    }
}
