//! What the suite needs beside Rust and a C compiler: a few Debian packages, cargo-deny and schemathesis, installed
//! when missing.
//!
//! Installs nothing else, and nothing at all without saying so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{cargo, output, run, target_directory};

/// The version of cargo-deny that the suite is known to pass with.
const DENY_VERSION: &str = "0.20.2";

/// The version of schemathesis that the suite is known to pass with.
const SCHEMATHESIS_VERSION: &str = "4.32.5";

/// A program and the Debian package it comes in.
const RECEIVERS: [(&str, &str); 2] = [("php", "php-cli"), ("webhook", "webhook")];

/// The browser that the dashboard's tests drive, and what drives it.
const BROWSER: [(&str, &str); 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// Where Debian keeps the servers it installed, and what it reads before it sets up a cluster for a new one.
const DEBIAN_SERVERS: &str = "/usr/lib/postgresql";
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d/no-main-cluster.conf";

/// Where Debian puts the pooler that the tests run before a server.
const POOLER: &str = "/usr/sbin/pgbouncer";

/// Makes everything ready, so that a run does not end for want of a tool after ten minutes.
pub(crate) fn prepare() -> Result<()> {
    for component in ["fmt", "clippy"] {
        output(&mut cargo([component, "--version"]))
            .with_context(|| format!("the toolchain has no cargo {component}"))?;
    }
    receivers()?;
    browser()?;
    database_server()?;
    pooler()?;
    schemathesis().map(|path| println!("schemathesis {SCHEMATHESIS_VERSION} at {}", path.display()))?;
    deny_binary().map(|path| println!("cargo-deny {DENY_VERSION} at {}", path.display()))
}

/// Makes sure that PHP and webhook are there.
pub(crate) fn receivers() -> Result<()> {
    let missing: Vec<&str> = RECEIVERS
        .iter()
        .filter(|(program, _)| !exists(program, "--version") && !exists(program, "-version"))
        .map(|(_, package)| *package)
        .collect();
    install(&missing)
}

/// Makes sure that the browser and its driver are there.
fn browser() -> Result<()> {
    let missing = BROWSER.iter().filter(|(program, _)| !exists(program, "--version"));
    install(&missing.map(|(_, package)| *package).collect::<Vec<_>>())
}

/// Makes sure that PgBouncer is there. Debian's package starts a service of its own, which the tests don't need; it does no
/// harm where no init system runs.
fn pooler() -> Result<()> {
    let is_missing = !Path::new(POOLER).is_file();
    install(if is_missing { &["pgbouncer"] } else { &[] })
}

/// Makes sure that a PostgreSQL server is installed. The tests start their own, so none needs to run; Debian's package
/// sets one up at once, unless its configuration says otherwise beforehand.
fn database_server() -> Result<()> {
    let versions = std::fs::read_dir(DEBIAN_SERVERS).into_iter().flatten().filter_map(Result::ok);
    let is_there = versions.map(|version| version.path().join("bin/initdb")).any(|path| path.is_file())
        || exists("initdb", "--version");
    if is_there {
        return Ok(());
    }
    let settings = Path::new(CLUSTER_SETTINGS);
    if !settings.exists() && way_to_root().is_some_and(<[_]>::is_empty) {
        let folder = settings.parent().context("the settings lie in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        std::fs::write(settings, "create_main_cluster = false\n")
            .with_context(|| format!("{CLUSTER_SETTINGS} can't be written"))?;
    }
    install(&["postgresql"])
}

/// Installs Debian packages, or says how.
fn install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let Some(before) = way_to_root() else {
        bail!("missing: {}; install it with `{by_hand}`", missing.join(", "));
    };
    println!("installing {} by apt-get", missing.join(" and "));
    let apt = |arguments: &[&str]| {
        let mut words = before.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "--yes"]);
        words.extend(arguments);
        run(Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()))
    };
    apt(&["update"]).with_context(|| format!("missing: {}; install it by hand", missing.join(", ")))?;
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(missing);
    apt(&install).with_context(|| format!("install it by hand: `{by_hand}`"))
}

/// What stands before a command that needs root: nothing for root, `sudo` where it asks nothing.
/// `None` where there is no such way, or no apt-get at all.
fn way_to_root() -> Option<&'static [&'static str]> {
    if !exists("apt-get", "--version") {
        return None;
    }
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

/// Whether a program can be started and answers to a harmless argument.
fn exists(program: &str, argument: &str) -> bool {
    let started = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    started.is_ok_and(|status| status.success())
}

/// Licences, bans and sources of everything in the lock file. Advisories are left out: their database is a
/// download of its own, which a build machine without the wider network can't make.
pub(crate) fn deny() -> Result<()> {
    cargo_deny(cargo(["deny", "--all-features", "check", "licenses", "bans", "sources"]))
}

/// Advisories about everything in the lock file. The database is fetched; where it can't be, the check fails.
pub(crate) fn advisories() -> Result<()> {
    cargo_deny(cargo(["deny", "--all-features", "check", "advisories"]))
}

/// Runs a call of cargo-deny, which is installed if it is missing.
fn cargo_deny(mut command: Command) -> Result<()> {
    let folder = deny_binary()?.parent().context("cargo-deny lies in a folder")?.to_owned();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let searched = std::iter::once(folder).chain(std::env::split_paths(&paths));
    run(command.env("PATH", std::env::join_paths(searched).context("PATH has a strange entry")?))
}

/// The path of schemathesis in the right version, put into a Python environment of its own below the target folder.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let folder = target_directory()?.join("tools/schemathesis");
    let path = folder.join("bin/st");
    let version = Command::new(&path).arg("--version").output();
    let wanted = format!(" {SCHEMATHESIS_VERSION}");
    if version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim_end().ends_with(&wanted)) {
        return Ok(path);
    }
    println!("installing schemathesis {SCHEMATHESIS_VERSION} (once)");
    let make = || output(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&folder));
    if make().is_err() {
        install(&["python3-venv"])?;
        make()?;
    }
    let package = format!("schemathesis=={SCHEMATHESIS_VERSION}");
    run(Command::new(folder.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ]))?;
    Ok(path)
}

/// The path of cargo-deny in the right version, built once below the target folder.
fn deny_binary() -> Result<PathBuf> {
    let target = target_directory()?;
    let path = target.join("tools/bin/cargo-deny");
    let is_there = Command::new(&path)
        .arg("--version")
        .output()
        .is_ok_and(|out| out.stdout.trim_ascii().ends_with(DENY_VERSION.as_bytes()));
    if !is_there {
        println!("building cargo-deny {DENY_VERSION} (once, about a minute)");
        let mut install = cargo(["install", "cargo-deny", "--locked", "--debug", "--force", "--quiet"]);
        install.args(["--version", DENY_VERSION]).arg("--root").arg(target.join("tools"));
        let build = target.join("tools-build");
        run(install.arg("--target-dir").arg(&build))?;
        std::fs::remove_dir_all(&build).with_context(|| format!("can't remove {}", build.display()))?;
    }
    Ok(path)
}
