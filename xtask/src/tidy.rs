//! What the compiler does not check: the layout, who may use whom, licences, one TLS provider.
//!
//! The house has four floors and a door between each two. Any dependency that is not in [`allowed`]
//! fails; so does a store, HTTP or broker crate on a floor that must stay free of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::layout;

/// What must stand at the top of the repository.
const AT_THE_TOP: [&str; 13] = [
    "Cargo.toml",
    "src",
    "actors",
    "schema",
    "diesel.toml",
    "keys",
    "clients",
    "benches",
    "README.md",
    "config/default.toml",
    "docs/ARCHITECTURE.md",
    "docs/SEMANTICS.md",
    ".ci/run",
];

/// Our crates that each of our crates may use. `memcloud` itself may use any.
fn allowed(package: &str) -> &'static [&'static str] {
    match package {
        "memcloud-domain" | "memcloud-supervision" => &[],
        "memcloud-wire" | "memcloud-store" | "memcloud-rest" => &["domain"],
        "memcloud-bus" | "memcloud-status" => &["supervision", "domain"],
        "memcloud-hem" => &["supervision", "domain", "wire"],
        "memcloud-historian" | "memcloud-registry" | "memcloud-commands" => {
            &["supervision", "domain", "store"]
        }
        "memcloud-worker" => &["supervision", "domain", "bus"],
        "memcloud-microgrid" => &["supervision", "domain", "bus", "worker"],
        "memcloud-cmo" => &["supervision", "domain", "bus", "worker", "microgrid"],
        "memcloud-cluster" => &["supervision", "domain", "bus", "store"],
        "memcloud-sdk" => &["wire", "rest", "domain"],
        "memcloud-emulator" => &["sdk", "wire", "domain"],
        _ => &[],
    }
}

/// Crates that open a store, speak HTTP or talk to a broker.
const ENGINES: [&str; 11] = [
    "diesel",
    "libsqlite3-sys",
    "mongodb",
    "lapin",
    "actix-web",
    "awc",
    "reqwest",
    "hyper",
    "actix-http",
    "actix-ws",
    "rustls",
];

/// Our crates that must be free of [`ENGINES`], and what else they must be free of.
const FREE_OF_ENGINES: [(&str, &[&str]); 4] = [
    ("memcloud-domain", &[]),
    ("memcloud-wire", &["actix", "tokio"]),
    ("memcloud-rest", &["actix"]),
    ("memcloud-supervision", &[]),
];

/// Licences that may be linked. `OR` takes any, `AND` needs all.
const LICENCES: [&str; 13] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(layout::root().join("Cargo.toml"))
        .exec()
        .context("could not read `cargo metadata`")?;
    let mut findings = Vec::new();
    check_layout(&mut findings);
    check_edges(&metadata, &mut findings);
    check_workspace_dependencies(&metadata, &mut findings);
    check_licences(&metadata, &mut findings);
    check_one_tls_provider(&metadata, &mut findings);
    if findings.is_empty() {
        eprintln!(
            "tidy: {} of our crates, {} of others', nothing found",
            metadata.workspace_members.len(),
            metadata.packages.len() - metadata.workspace_members.len()
        );
        return Ok(());
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    bail!("{} findings", findings.len())
}

fn check_layout(findings: &mut Vec<String>) {
    for path in AT_THE_TOP {
        if !layout::root().join(path).exists() {
            findings.push(format!("`{path}` is missing"));
        }
    }
}

fn normal_dependencies(package: &Package) -> impl Iterator<Item = &cargo_metadata::Dependency> {
    package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
}

fn check_edges(metadata: &Metadata, findings: &mut Vec<String>) {
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let folder = package.manifest_path.parent().map(|path| path.as_str()).unwrap_or_default();
        let on_a_floor =
            ["/actors/", "/schema/", "/clients/"].iter().any(|floor| folder.contains(floor));
        if on_a_floor {
            let expected = format!("memcloud-{}", folder.rsplit('/').next().unwrap_or_default());
            if name != expected {
                findings.push(format!("{folder}: the package is called {name}, not {expected}"));
            }
            let may_use = allowed(name);
            for dependency in normal_dependencies(package) {
                let Some(other) = dependency.name.strip_prefix("memcloud-") else { continue };
                if !may_use.contains(&other) {
                    findings.push(format!(
                        "{name} must not use memcloud-{other}: no door between them"
                    ));
                }
            }
        }
        if let Some((_, also)) = FREE_OF_ENGINES.iter().find(|(free, _)| *free == name) {
            for dependency in normal_dependencies(package) {
                let other = dependency.name.as_str();
                if ENGINES.contains(&other) || also.contains(&other) {
                    findings.push(format!("{name} must not use {other}: it stays free of engines"));
                }
            }
        }
        if name == "memcloud-bus" {
            for dependency in normal_dependencies(package) {
                if dependency.name == "lapin" && !dependency.optional {
                    findings.push(
                        "memcloud-bus may use lapin only behind its feature `rabbitmq`".into(),
                    );
                }
            }
        }
        if name == "memcloud-domain" {
            for dependency in normal_dependencies(package) {
                if dependency.name.starts_with("actix") && !dependency.optional {
                    findings.push(
                        "memcloud-domain may use actix only behind its feature `actix`".into(),
                    );
                }
            }
        }
    }
}

fn check_workspace_dependencies(metadata: &Metadata, findings: &mut Vec<String>) {
    for package in metadata.workspace_packages() {
        let Ok(manifest) = std::fs::read_to_string(&package.manifest_path) else { continue };
        if manifest.contains("[workspace.dependencies]") {
            continue;
        }
        for line in manifest.lines() {
            let versioned = line.contains("version = \"")
                || line.split_once(" = \"").is_some_and(|(_, value)| {
                    value.starts_with(|first: char| first.is_ascii_digit())
                });
            if versioned && !line.starts_with("version") {
                findings.push(format!(
                    "{}: versions stand in [workspace.dependencies]: `{line}`",
                    package.manifest_path
                ));
            }
        }
    }
}

fn is_free(licence: &str) -> bool {
    licence.replace('/', " OR ").split(" AND ").all(|all| {
        all.trim_matches(|edge| edge == '(' || edge == ')' || edge == ' ').split(" OR ").any(
            |any| {
                LICENCES
                    .contains(&any.trim_matches(|edge| edge == '(' || edge == ')' || edge == ' '))
            },
        )
    })
}

fn check_licences(metadata: &Metadata, findings: &mut Vec<String>) {
    for package in &metadata.packages {
        match &package.license {
            Some(licence) if is_free(licence) => {}
            Some(licence) => {
                findings.push(format!("{} {} is licensed {licence}", package.name, package.version))
            }
            None if package.license_file.is_some() => {}
            None => {
                findings.push(format!("{} {} states no licence", package.name, package.version))
            }
        }
    }
}

/// Two rustls providers in one binary panic at run time; ours is ring.
fn check_one_tls_provider(metadata: &Metadata, findings: &mut Vec<String>) {
    let Some(resolve) = &metadata.resolve else { return };
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let reached: BTreeSet<&str> =
        resolve.nodes.iter().filter_map(|node| names.get(&node.id).copied()).collect();
    for forbidden in ["aws-lc-sys", "aws-lc-rs", "openssl-sys"] {
        if reached.contains(forbidden) {
            findings.push(format!("{forbidden} is linked; see `cargo tree -i {forbidden}`: our one TLS provider is ring"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_planted(from: &str, dependency: &str, into: &str) -> Vec<String> {
        let mut metadata =
            MetadataCommand::new().manifest_path(layout::root().join("Cargo.toml")).exec().unwrap();
        let mut before = Vec::new();
        check_edges(&metadata, &mut before);
        assert_eq!(before, Vec::<String>::new(), "the house is tidy as it is");
        let giver = metadata.packages.iter().find(|package| package.name.as_str() == from).unwrap();
        let planted =
            giver.dependencies.iter().find(|edge| edge.name == dependency).unwrap().clone();
        let taker = metadata.packages.iter_mut().find(|package| package.name.as_str() == into);
        taker.unwrap().dependencies.push(planted);
        let mut findings = Vec::new();
        check_edges(&metadata, &mut findings);
        findings
    }

    #[test]
    fn a_planted_edge_between_siblings_is_found() {
        let findings = with_planted("memcloud-historian", "memcloud-store", "memcloud-bus");
        assert_eq!(findings, ["memcloud-bus must not use memcloud-store: no door between them"]);
    }

    #[test]
    fn an_engine_in_a_contract_is_found() {
        let findings = with_planted("memcloud-store", "diesel", "memcloud-domain");
        assert_eq!(findings, ["memcloud-domain must not use diesel: it stays free of engines"]);
    }

    #[test]
    fn a_licence_expression_is_read_as_spdx_means_it() {
        assert!(is_free("MIT OR Apache-2.0"));
        assert!(is_free("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_free("MIT/Apache-2.0"));
        assert!(!is_free("GPL-3.0-or-later"));
        assert!(!is_free("MIT AND GPL-3.0-only"));
    }
}
