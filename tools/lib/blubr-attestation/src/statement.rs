//! The outer form: in-toto Statement v1 with the predicate runtime-trace v0.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::build::BlubrBuild;
use crate::trace::MonitorLog;

/// `_type` of every statement (in-toto attestation framework, spec/v1/statement.md).
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of every statement (in-toto attestation framework, spec/predicates/runtime-trace.md).
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/runtime-trace/v0.1";
/// `monitor.type` of statements made from a `blubr.log/1`.
pub const MONITOR_TYPE: &str = "https://github.com/blubr/blubr/monitor/v1";
/// `monitoredProcess.type` of a container build from a Dockerfile.
pub const BUILD_TYPE: &str = "https://github.com/blubr/blubr/dockerfile-build/v1";

/// An in-toto Statement v1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Always [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The image: its manifest's digest and its config's digest, each where known.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub subject: Vec<ResourceDescriptor>,
    /// Always [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What was recorded.
    pub predicate: Predicate,
}

/// An in-toto ResourceDescriptor (spec/v1/resource_descriptor.md), as far as we use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescriptor {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests by algorithm, in lower-case hexadecimal without a prefix (`{"sha256": "..."}`).
    #[serde(
        default,
        deserialize_with = "crate::lists::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub digest: BTreeMap<String, String>,
    /// Its media type.
    #[serde(default, rename = "mediaType", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Short remarks, e.g. `kind`: `manifest` or `config` on a subject.
    #[serde(
        default,
        deserialize_with = "crate::lists::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// The predicate runtime-trace v0.1, and our extension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    /// What recorded.
    pub monitor: Monitor,
    /// What was recorded.
    #[serde(rename = "monitoredProcess")]
    pub monitored_process: MonitoredProcess,
    /// Everything recorded of the build, whichever step it belongs to.
    #[serde(rename = "monitorLog")]
    pub monitor_log: MonitorLog,
    /// When.
    pub metadata: Metadata,
    /// What the predicate has no place for.
    pub blubr_build: BlubrBuild,
}

/// What recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    /// Always [`MONITOR_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The recorder's configuration, where it had one.
    #[serde(default, rename = "configSource", skip_serializing_if = "Option::is_none")]
    pub config_source: Option<ResourceDescriptor>,
    /// What was traced.
    #[serde(default, rename = "tracePolicy", skip_serializing_if = "Option::is_none")]
    pub trace_policy: Option<TracePolicy>,
}

/// What was traced, as the log's header says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePolicy {
    /// The recorder and its version.
    #[serde(default)]
    pub tool: String,
    /// How it was attached to the kernel.
    #[serde(default)]
    pub backend: String,
    /// The kernel's release, as uname(2) gives it.
    #[serde(default)]
    pub kernel: String,
    /// The hooks that were attached.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub hooks: Vec<String>,
    /// What this kernel did not let the recorder see.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub not_covered: Vec<String>,
    /// Whose events were recorded (host-wide unless it was asked otherwise).
    #[serde(default)]
    pub scope: String,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitoredProcess {
    /// The host: `urn:blubr:host:` and the hash of its machine id.
    #[serde(rename = "hostID")]
    pub host_id: String,
    /// The build type: always [`BUILD_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Which build: the boot, the client's process and its start.
    pub event: String,
}

/// When it was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The build's first event (RFC 3339, UTC).
    #[serde(default, rename = "buildStartedOn", skip_serializing_if = "Option::is_none")]
    pub build_started_on: Option<String>,
    /// The build's last event (RFC 3339, UTC).
    #[serde(default, rename = "buildFinishedOn", skip_serializing_if = "Option::is_none")]
    pub build_finished_on: Option<String>,
}
