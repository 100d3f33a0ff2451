//! Tests of the engine that need none.

use std::collections::HashMap;

use bollard::models::{SystemInfo, SystemVersion};

use super::known::{Said, introduce};
use super::*;
use crate::engine::Endpoint;

fn info(driver: &str, status: &[[&str; 2]]) -> SystemInfo {
    SystemInfo {
        id: Some("E".into()),
        driver: Some(driver.into()),
        driver_status: Some(status.iter().map(|pair| pair.map(str::to_owned).to_vec()).collect()),
        os_type: Some("linux".into()),
        architecture: Some("x86_64".into()),
        images: Some(100),
        ..SystemInfo::default()
    }
}

fn said(info: SystemInfo, api: &str) -> Said {
    let api_version = Some(api.to_owned());
    let version = SystemVersion { api_version, version: Some("1".into()), ..SystemVersion::default() };
    Said { info, version, podman: false }
}

#[test]
fn an_engine_introduces_itself() {
    let known =
        introduce(&said(info("overlay2", &[["Native Overlay Diff", "true"]]), "1.41"), Builder::default());
    assert_eq!(known.identity.builder, "buildkit/overlay2");
    assert_eq!(known.identity.platform, "linux/amd64");
}

#[test]
fn the_containerd_store_is_recognised_and_never_listed() {
    let status = [["driver-type", "io.containerd.snapshotter.v1"]];
    let known = introduce(&said(info("overlayfs", &status), "1.51"), Builder::default());
    assert_eq!(known.identity.builder, "buildkit/containerd");
    assert!(!listing_is_cheaper(&known, 1_000_000));
}

#[test]
fn an_old_engine_has_the_classic_builder() {
    let known = introduce(&said(info("overlay2", &[]), "1.38"), Builder::default());
    assert_eq!(known.identity.builder, "classic/overlay2");
    let forced = introduce(&said(info("overlay2", &[]), "1.41"), Builder::Classic);
    assert_eq!(forced.identity.builder, "classic/overlay2");
}

#[test]
fn podman_is_not_taken_for_buildkit_whatever_its_api_promises() {
    let podman = Said { podman: true, ..said(info("overlay", &[]), "1.44") };
    let known = introduce(&podman, Builder::default());
    assert_eq!(known.identity.builder, "podman/overlay");
    assert!(known.podman() && !known.buildkit());
    assert!(known.identity.id.starts_with("podman-"), "{}", known.identity.id);
}

#[test]
fn many_questions_are_one_list_and_few_are_not() {
    let known = introduce(&said(info("overlay2", &[]), "1.41"), Builder::default());
    assert!(listing_is_cheaper(&known, 17));
    assert!(!listing_is_cheaper(&known, 16));
}

#[test]
fn a_port_is_no_tag() {
    assert_eq!(split_tag("host:5000/a"), ("host:5000/a", "latest"));
    assert_eq!(split_tag("host:5000/a:b"), ("host:5000/a", "b"));
    assert_eq!(split_tag("a"), ("a", "latest"));
}

#[test]
fn a_reference_cannot_ask_for_something_else() {
    assert!(check_reference("a/../../containers", "inspecting").is_err());
    assert!(check_reference("a?force=1", "untagging").is_err());
    assert!(check_reference("host:5000/a_b.c/d-e@sha256:00", "inspecting").is_ok());
}

#[test]
fn a_dockerfile_without_from_is_seen() {
    assert!(!has_from("RUN true\n"));
    assert!(!has_from("# FROM x\nARG from=1\n"));
    assert!(has_from("# c\n  from scratch\n"));
}

#[test]
fn the_same_settings_in_another_order_are_the_same_content() {
    let labels = |order: [&str; 2]| {
        let labels: HashMap<String, String> =
            order.iter().map(|key| ((*key).to_owned(), String::new())).collect();
        let config = bollard::models::ImageConfig { labels: Some(labels), ..Default::default() };
        content(&ImageInspect { config: Some(config), ..ImageInspect::default() })
    };
    assert_eq!(labels(["a", "b"]), labels(["b", "a"]));
}

#[test]
fn plain_http_to_a_tls_port_is_explained() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    // Two questions make an introduction; Go's server answers each of them like this.
    let answer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let endpoint = Endpoint::parse(&address, None, "from DOCKER_HOST".into()).unwrap();
    let text = DockerEngine::new(endpoint).identity().unwrap_err().to_string();
    assert!(text.contains(&address) && text.contains("DOCKER_TLS_VERIFY=1"), "{text}");
}
