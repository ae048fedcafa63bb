//! `lambent deploy`: a folder becomes a running service.
//!
//! In this order, so that each mistake is found before anything slow or lasting: read the folder, say
//! what it is, look at its binaries, ask the server, install dependencies, make the zip, publish.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use types::arn;
use types::settings::{self, Server, Settings};

use super::ExitStatus;
use crate::api::{self, FunctionConfiguration};
use crate::deploy::{Change, Chosen, Deployed, Overrides, Wanted, address, choose, dotenv, publish};
use crate::detect::{Language, Plan, Request, detect};
use crate::package::{self, Cache, Package, Requirements, Source, Target, Walk, Zip};
use crate::printer::Printer;
use crate::size::Bytes;

/// Deploy a folder
///
/// Finds out what the folder is (a Flask, FastAPI, Django or other Python web application, a Lambda
/// handler, a program with a start command), installs its dependencies, creates or updates the function
/// and prints the address it answers on. What is not mentioned stays as it was deployed before.
///
/// Example: lambent deploy ./shop --env STAGE=demo --max-instances 20
#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The folder
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Name of the function [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
    /// Set an environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Set the environment variables of a dotenv file
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Remove an environment variable that an earlier deploy set
    #[arg(long, value_name = "NAME")]
    unset_env: Vec<String>,
    /// Memory limit in MiB [default: 512]
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Time limit of one request in seconds [default: 30]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Seconds an instance may stay idle, or `default`
    #[arg(long, value_name = "SECONDS")]
    idle_seconds: Option<String>,
    /// Instances that may live at once, or `default`; further requests wait in order
    #[arg(long, value_name = "NUMBER")]
    max_instances: Option<String>,
    /// Seconds a request may wait for an instance, or `default`
    #[arg(long, value_name = "SECONDS")]
    queue_seconds: Option<String>,
    /// Whether instances may share what one init made: auto, shared or per-instance, or `default`
    #[arg(long, value_name = "INIT")]
    init: Option<String>,
    /// Seconds without a request after which an instance is frozen, `off`, or `default`
    #[arg(long, value_name = "SECONDS")]
    freeze: Option<String>,
    /// Requests that one instance handles at once, or `default`
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<String>,
    /// Whether answers over HTTP say what they cost in `x-lambent-*` headers: on, off, or `default`
    #[arg(long, value_name = "on|off")]
    headers: Option<String>,
    /// Who serves a web application: its own server, or Lambent's shim
    #[arg(long, value_parser = server, value_name = "own|shim")]
    server: Option<Server>,
    /// The runtime, for instance python3.12, nodejs20.x or provided.al2023
    #[arg(long)]
    runtime: Option<String>,
    /// What to call: MODULE.NAME, or a file to start
    #[arg(long, conflicts_with = "start")]
    handler: Option<String>,
    /// A command that starts a program listening on $PORT
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// Install the dependencies again, even if nothing has changed
    #[arg(long)]
    refresh: bool,
    /// Say what would be deployed, and stop
    #[arg(long)]
    dry_run: bool,
    /// Where installed dependencies are kept between deploys [default: ~/.cache/lambent]
    #[arg(long, env = "LAMBENT_CACHE_DIR", hide_env_values = true, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(
    arguments: DeployArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let overrides = arguments.overrides()?;
    let walk = package::walk(&arguments.directory)?;
    let name = arguments.function_name()?;
    let plan = detect(&walk.folder, &arguments.request())?;
    say_plan(&plan, &walk, &arguments, printer);
    if arguments.dry_run {
        return dry_run(&name, &plan, printer);
    }
    let runtimes = worker::runtimes::discover();
    let choose = |existing: Option<&str>| {
        choose(&runtimes, &walk.folder, plan.language, arguments.runtime.as_deref(), existing)
    };
    // Before the server is asked: a wrong binary in the folder is wrong whatever the server says.
    package::check(&Package { entries: walk.sources.clone() }, &target(&choose(None)?))?;

    let existing = server.lambda.find_function(&name).await?;
    let tags = match &existing {
        Some(function) => server.lambda.tags(&function.function_arn).await?,
        None => BTreeMap::new(),
    };
    let existing = existing.as_ref().map(|function| (function, &tags));
    let chosen = choose(existing.map(|(function, _)| function.runtime.as_str()))?;
    let zip = zip(&plan, &walk, &chosen, &arguments, printer)?;

    let wanted = Wanted::new(&name, &chosen.identifier, &plan.handler, plan.server, &overrides, existing);
    let deployed = publish(&server.lambda, &wanted, &zip, existing).await?;
    report(&deployed, &wanted, existing.map(|(function, _)| function), printer);
    if printer.is_json() {
        printer.document(&document(&deployed, &wanted, &plan, &zip)?)?;
    } else {
        printer.data(&deployed.url)?;
    }
    Ok(ExitStatus::Success)
}

// === impl DeployArguments ===

impl DeployArguments {
    fn request(&self) -> Request {
        Request { handler: self.handler.clone(), start: self.start.clone(), server: self.server }
    }

    fn function_name(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.name {
            arn::check_name(name)?;
            return Ok(name.clone());
        }
        let path = self.directory.canonicalize();
        let path = path.with_context(|| format!("cannot read {}", self.directory.display()))?;
        Ok(address::name_of_folder(&path)?)
    }

    fn overrides(&self) -> anyhow::Result<Overrides> {
        let mut environment = BTreeMap::new();
        if let Some(file) = &self.env_file {
            let text = fs::read_to_string(file).map_err(package::Error::file("read", file))?;
            environment = dotenv::parse(&file.display().to_string(), &text)?;
        }
        for given in &self.env {
            let (name, value) = dotenv::variable(given)?;
            environment.insert(name, value);
        }
        let tags = [
            (settings::IDLE_SECONDS, &self.idle_seconds),
            (settings::MAX_INSTANCES, &self.max_instances),
            (settings::QUEUE_SECONDS, &self.queue_seconds),
            (settings::INIT, &self.init),
            (settings::FREEZE, &self.freeze),
            (settings::CONCURRENCY, &self.concurrency),
            (settings::HEADERS, &self.headers),
        ];
        let tags: BTreeMap<&'static str, String> =
            tags.into_iter().filter_map(|(tag, value)| Some((tag, value.clone()?))).collect();
        // The server would refuse a wrong value too, but only after everything is packaged.
        let given = tags.iter().filter(|(_, value)| *value != "default");
        Settings::from_tags(&given.map(|(tag, value)| ((*tag).to_owned(), value.clone())).collect())?;
        let (memory, timeout) = (self.memory, self.timeout);
        Ok(Overrides { environment, unset: self.unset_env.clone(), memory, timeout, tags })
    }

    fn cache(&self) -> Cache {
        let directory = self.cache_dir.clone().unwrap_or_else(|| {
            let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
            base.unwrap_or_else(std::env::temp_dir).join("lambent")
        });
        Cache::new(directory)
    }
}

/// The whole package: the folder and what is added to it, checked.
fn zip(
    plan: &Plan,
    walk: &Walk,
    chosen: &Chosen,
    arguments: &DeployArguments,
    printer: Printer,
) -> anyhow::Result<Zip> {
    if let Some(why) = &chosen.why {
        printer.step("runtime", why);
    }
    let mut package = Package { entries: walk.sources.clone() };
    fill(&mut package, plan, walk, chosen, arguments, printer)?;
    package::check(&package, &target(chosen))?;
    let zip = package.zip()?;
    printer.step("packaged", format_args!("{} files, {} zip", zip.files, Bytes(zip.bytes.len() as u64)));
    Ok(zip)
}

/// Adds to the package what is not in the folder: dependencies, the start script, compiled modules.
fn fill(
    package: &mut Package,
    plan: &Plan,
    walk: &Walk,
    chosen: &Chosen,
    arguments: &DeployArguments,
    printer: Printer,
) -> anyhow::Result<()> {
    let (root, cache) = (&arguments.directory, arguments.cache());
    if let Some(text) = &plan.start {
        let source = Source::Made { content: text.clone().into_bytes(), executable: true };
        package.entries.insert(plan.handler.clone(), source);
    }
    if let Some(interpreter) = &chosen.python {
        if plan.start.is_some() {
            package::add_launchers(package, interpreter.minor);
        }
        package.add_missing(package::compile_own(&walk.sources, interpreter)?);
        let required = Requirements::of(root, &walk.folder, &plan.extra_packages)?;
        if required.file.is_some() {
            for added in &required.added {
                printer.note(format_args!(
                    "{added} is needed to start it and is not declared, so it is installed"
                ));
            }
        }
        if !required.is_empty() {
            let install = package::install_python;
            package.add_missing(install(root, &required, interpreter, &cache, arguments.refresh, printer)?);
        }
    }
    if plan.language == Language::Node && package::has_dependencies(&walk.folder) {
        let identifier = &chosen.identifier;
        let install = package::install_node;
        package.add_missing(install(root, walk, identifier, &cache, arguments.refresh, printer)?);
    }
    Ok(())
}

fn target(chosen: &Chosen) -> Target {
    Target::here(chosen.python.as_ref().map(|python| python.minor))
}

fn server(text: &str) -> Result<Server, String> {
    match text {
        "own" => Ok(Server::Own),
        "shim" => Ok(Server::Shim),
        _ => Err("use own or shim".to_owned()),
    }
}

fn say_plan(plan: &Plan, walk: &Walk, arguments: &DeployArguments, printer: Printer) {
    for why in &plan.why {
        printer.step("found", why);
    }
    for note in &plan.notes {
        printer.note(note);
    }
    if let Some(file) = walk.patterns_from.filter(|_| !walk.left_out.is_empty()) {
        printer.note(format_args!("left out by {file}: {}", shortened(&walk.left_out)));
    }
    if walk.has_env_file && arguments.env_file.is_none() {
        printer.note(".env is not packaged: its variables are set with --env-file");
    }
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn dry_run(name: &str, plan: &Plan, printer: Printer) -> anyhow::Result<ExitStatus> {
    let server = plan.server.map(|server| if server == Server::Own { "own" } else { "shim" });
    if printer.is_json() {
        printer.document(&serde_json::json!({
            "name": name, "handler": plan.handler, "server": server, "found": plan.why, "notes": plan.notes,
            "packages": plan.extra_packages,
        }))?;
        return Ok(ExitStatus::Success);
    }
    printer.data(format_args!("name     {name}"))?;
    printer.data(format_args!("handler  {}", plan.handler))?;
    if let Some(server) = server {
        printer.data(format_args!("server   {server}"))?;
    }
    Ok(ExitStatus::Success)
}

fn report(deployed: &Deployed, wanted: &Wanted, existing: Option<&FunctionConfiguration>, printer: Printer) {
    let version = &deployed.version;
    match (deployed.change, &deployed.previous) {
        (Change::Created, _) => printer.step("created", format_args!("{} version {version}", deployed.name)),
        (Change::Updated, Some(previous)) => {
            printer.step("updated", format_args!("{} version {previous} -> {version}", deployed.name));
        }
        (Change::Updated, None) => printer.step("updated", format_args!("{} (settings)", deployed.name)),
        (Change::Unchanged, _) => {
            printer.step("unchanged", format_args!("{} version {version}", deployed.name));
        }
    }
    let settings = &wanted.settings;
    let line = format!(
        "{}, {}, {} MiB, {} s",
        settings.runtime, settings.handler, settings.memory_size, settings.timeout
    );
    printer.step("runs", line);
    let kept = existing.map_or(0, |existing| {
        let kept =
            |(name, value): &(&String, &String)| existing.environment.variables.get(*name) == Some(*value);
        settings.environment.iter().filter(kept).count()
    });
    if kept > 0 {
        printer.step("kept", format_args!("{kept} of the last deploy's environment variables"));
    }
}

fn document(deployed: &Deployed, wanted: &Wanted, plan: &Plan, zip: &Zip) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(deployed)?;
    if let Some(members) = document.as_object_mut() {
        members.insert("found".to_owned(), plan.why.clone().into());
        members.insert("runtime".to_owned(), wanted.settings.runtime.clone().into());
        members.insert("handler".to_owned(), wanted.settings.handler.clone().into());
        members.insert("code_sha256".to_owned(), zip.sha256.clone().into());
    }
    Ok(document)
}
