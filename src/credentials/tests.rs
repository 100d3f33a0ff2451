//! Logins are looked for in the right order, and their values stay hidden.

use super::*;

fn failure(text: &str) -> CredentialRetrievalError {
    CredentialRetrievalError::HelperFailure {
        helper: "pass".into(),
        stdout: text.into(),
        stderr: text.into(),
    }
}

/// Credentials over a `config.json` with this text.
fn with_config(text: &str) -> (tempfile::TempDir, Credentials) {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("config.json"), text).unwrap();
    let config_folder = Some(folder.path().to_owned());
    (folder, Credentials { config_folder, ..Credentials::default() })
}

fn given(host: &str) -> Option<Given> {
    Some(Given { user: "me".into(), password: Secret::new("hunter2"), host: host.to_owned() })
}

// me:hunter2
const CONFIG: &str = r#"{"auths": {"r.example": {"auth": "bWU6aHVudGVyMg=="}}}"#;

#[test]
fn a_helper_without_an_entry_means_anonymous() {
    let failure = failure("credentials not found in native keychain\n");
    assert_eq!(found_or_anonymous("r.example", Err(failure), "", false), Ok(None));
    let missing = CredentialRetrievalError::ConfigReadError;
    assert_eq!(found_or_anonymous("r.example", Err(missing), "", false), Ok(None));
}

#[test]
fn a_failed_helper_is_named_and_its_output_is_not() {
    let text = found_or_anonymous("r.example", Err(failure("hunter2")), "", false).unwrap_err();
    assert_eq!(text, "no login for `r.example`: credential helper `pass` failed");
}

#[test]
fn a_login_of_docker_is_found_and_tells_its_file() {
    let (folder, credentials) = with_config(CONFIG);
    let found = credentials.login("r.example", 0).unwrap().unwrap();
    assert_eq!(found.login, Login::Password { user: "me".into(), password: Secret::new("hunter2") });
    assert_eq!(found.source, format!("`{}`", folder.path().join("config.json").display()));
    assert_eq!(credentials.login("other.example", 0), Ok(None));
    assert_eq!(credentials.login("r.example", 1), Ok(None), "a file does not change its mind");
}

#[test]
fn no_configuration_means_anonymous() {
    let folder = tempfile::tempdir().unwrap();
    let credentials =
        Credentials { config_folder: Some(folder.path().join("none")), ..Credentials::default() };
    assert_eq!(credentials.login("r.example", 0), Ok(None));
}

#[test]
fn a_login_for_imk_is_the_only_one_of_its_registry() {
    let (_folder, mut credentials) = with_config(CONFIG);
    credentials.given = given("r.example");
    assert_eq!(credentials.login("r.example", 0).unwrap().unwrap().source, "IMK_REGISTRY_USER");
    assert_eq!(credentials.login("r.example", 1), Ok(None));
}

#[test]
fn nobody_has_a_login_that_is_withheld() {
    let (_folder, mut credentials) = with_config(CONFIG);
    credentials.withheld = true;
    assert_eq!(credentials.login("r.example", 0), Ok(None));
    assert_eq!(Credentials::none().login("r.example", 0), Ok(None));
}

#[test]
fn a_login_for_one_registry_is_sent_to_no_other() {
    let (_folder, mut credentials) = with_config("{}");
    credentials.given = given("docker.io");
    assert!(credentials.login("registry-1.docker.io", 0).unwrap().is_some());
    assert_eq!(credentials.login("registry-1.docker.io", 1), Ok(None));
    assert_eq!(credentials.login("r.example", 0), Ok(None));
}

#[test]
fn the_environment_names_login_registry_and_folder() {
    let set = |host: &'static str| {
        Credentials::from_lookup(move |name: &str| match name {
            "IMK_REGISTRY_USER" => Some("me".to_owned()),
            "IMK_REGISTRY_PASSWORD" => Some("hunter2".to_owned()),
            "IMK_REGISTRY_HOST" => Some(host.to_owned()),
            "HOME" => Some("/home/me".to_owned()),
            _ => None,
        })
    };
    let credentials = set("r.example").unwrap();
    assert_eq!(credentials.given, given("r.example"));
    assert_eq!(credentials.config_folder, Some("/home/me/.docker".into()));
    let none = Credentials::from_lookup(|_| None).unwrap();
    assert!(none.given.is_none() && none.config_folder.is_none() && !none.withheld);
    // Whom it is for is not left to whoever wrote a FROM.
    let why = set("").unwrap_err();
    assert!(why.contains("IMK_REGISTRY_HOST") && !why.contains("hunter2"), "{why}");
}

#[test]
fn a_helper_answers_where_the_file_does_not() {
    let helper = |config: &str| helper_of(config.as_bytes(), "r.example");
    let own = r#"{"credHelpers": {"r.example": "ecr"}, "credsStore": "pass"}"#;
    assert_eq!(helper(own), Some("ecr".to_owned()));
    assert_eq!(helper(r#"{"auths": {"r.example": {}}, "credsStore": "pass"}"#), Some("pass".to_owned()));
    assert_eq!(helper(r#"{"auths": {"https://r.example": {"auth": "x"}}, "credsStore": "pass"}"#), None);
    assert_eq!(helper(CONFIG), None);
}

#[test]
fn a_password_shows_in_no_debug_output() {
    let credentials = Credentials { given: given("r.example"), ..Credentials::default() };
    let found = credentials.login("r.example", 0).unwrap();
    for text in [format!("{credentials:?}"), format!("{found:?}")] {
        assert!(!text.contains("hunter2") && text.contains("Secret(…)"), "{text}");
    }
}
