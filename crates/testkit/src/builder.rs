//! How a world is made: options of the server, and whether namespaces are needed or merely preferred.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::powercut::Layer;
use crate::world::{Refused, World};

/// Makes a [`World`].
#[derive(Debug, Clone)]
pub struct Builder {
    binary: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    layer: Option<Layer>,
    data_dir: Option<PathBuf>,
    needs_namespaces: bool,
}

// === impl Builder ===

impl Builder {
    pub(crate) fn new(binary: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            options: Vec::new(),
            environment: Vec::new(),
            layer: None,
            data_dir: None,
            needs_namespaces: false,
        }
    }

    /// Passes an option with a value to `lambent serve`.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Passes an option without a value to `lambent serve`.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.options.push(name.to_owned());
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts the data directory on a layer that remembers what was synced: see [`World::cut_power`].
    #[must_use]
    pub fn on_layer(mut self, layer: &Layer) -> Self {
        self.layer = Some(layer.clone());
        self
    }

    /// Keeps the data somewhere else than in the world's own directory, for instance on a small disk.
    #[must_use]
    pub fn data_dir(mut self, directory: &Path) -> Self {
        self.data_dir = Some(directory.to_owned());
        self
    }

    /// Refuses to start in the reduced mode, for tests of what only namespaces give.
    #[must_use]
    pub fn needs_namespaces(mut self) -> Self {
        self.needs_namespaces = true;
        self
    }

    /// Starts the server and waits until it is ready. Where the host refuses namespaces, starts in the
    /// reduced mode, unless namespaces are needed.
    ///
    /// # Errors
    /// The server did not become ready; its words are in the error.
    pub fn start(self) -> Result<World> {
        let mut world = World::prepare(self.binary, self.options, self.environment, self.layer.as_ref())?;
        if let Some(directory) = self.data_dir {
            world.keep_data_in(directory);
        }
        match world.try_start()? {
            Ok(()) => Ok(world),
            Err(Refused) if self.needs_namespaces => {
                anyhow::bail!("this host refuses namespaces, which this test is about")
            }
            Err(Refused) => {
                world.push_option("--isolation=process");
                let started = world.try_start()?;
                started.ok().context("the server refuses the reduced mode as well")?;
                Ok(world)
            }
        }
    }
}
