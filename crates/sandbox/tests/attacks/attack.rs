//! What one attack is, as a value: the program, what refuses it, and how it is shown that it would succeed.

use sandbox::spec::{Layers, Spec};

/// One layer of isolation: a field of [`Layers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Root,
    User,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Limits,
    Capabilities,
    Seccomp,
}

/// What a run is expected to say; alternatives are separated by `|`.
pub type Expected = &'static str;

/// One attack program and what is expected of it.
pub struct Attack {
    /// The function's name in the program.
    pub name: &'static str,
    /// The file that holds it.
    pub program: &'static str,
    /// The verdict with every layer on.
    pub sealed: Expected,
    /// Every layer that refuses, with the verdict when it is the only one of them that is on.
    pub refusers: &'static [(Layer, Expected)],
    /// How it is shown that the same program succeeds.
    pub control: Control,
    /// On which hosts even the control is refused or finds nothing to attack.
    pub lacking: Option<&'static str>,
    /// Facts and limits of its own.
    pub setting: fn(&mut Setting),
}

/// The positive control: the same program, and nothing that refuses it.
#[derive(Clone, Copy)]
pub enum Control {
    /// In a sandbox with the refusing layers off.
    LayersOff,
    /// On the host, since what refuses is no switch.
    Host,
    /// On the host; and with the refusing layers off, something that is no switch says this.
    Beyond(Expected),
    /// In a sandbox whose spec gives more.
    Relaxed(fn(&mut Spec)),
}

/// What a row changes in the usual surroundings.
pub struct Setting {
    /// The usual sandbox around the program.
    pub spec: Spec,
    /// Further `FACT_*` variables.
    pub facts: Vec<(&'static str, String)>,
    /// Whether descriptor 3 is a terminal.
    pub terminal: bool,
}

// === impl Layer ===

impl Layer {
    /// Its name, as in the spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Limits => "limits",
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
        }
    }

    /// Turns it off.
    pub fn switch_off(self, layers: &mut Layers) {
        let switch = match self {
            Self::Root => &mut layers.root,
            Self::User => &mut layers.user,
            Self::Pid => &mut layers.pid,
            Self::Network => &mut layers.network,
            Self::Ipc => &mut layers.ipc,
            Self::Uts => &mut layers.uts,
            Self::Cgroup => &mut layers.cgroup,
            Self::Limits => &mut layers.limits,
            Self::Capabilities => &mut layers.capabilities,
            Self::Seccomp => &mut layers.seccomp,
        };
        *switch = false;
    }
}

// === impl Attack ===

impl Attack {
    /// An attack in the usual surroundings.
    pub const fn new(
        name: &'static str,
        program: &'static str,
        sealed: Expected,
        refusers: &'static [(Layer, Expected)],
    ) -> Self {
        Self { name, program, sealed, refusers, control: Control::LayersOff, lacking: None, setting: |_| {} }
    }

    /// With another control.
    pub const fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// Not on every host.
    pub const fn lacking(mut self, what: &'static str) -> Self {
        self.lacking = Some(what);
        self
    }

    /// In surroundings of its own.
    pub const fn setting(mut self, setting: fn(&mut Setting)) -> Self {
        self.setting = setting;
        self
    }

    /// All layers but the refusing ones; `kept` stays on.
    pub fn without_refusers(&self, kept: Option<Layer>) -> Layers {
        let mut layers = Layers::ALL;
        for (layer, _) in self.refusers {
            if Some(*layer) != kept {
                layer.switch_off(&mut layers);
            }
        }
        layers
    }
}
