//! Signatures of every kind: the right one, and all that must not pass for it.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"ref":"refs/heads/main"}"#;

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn hmac_of(algorithm: Algorithm, secret: &str, body: &[u8]) -> String {
    hex(hmac::sign(&Key::new(algorithm, secret.as_bytes()), body).as_ref())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn check(forge: Forge, headers: &[(&str, &str)], sha1: bool) -> Option<Proof> {
    let secrets = [HookSecret::new("the old secret").unwrap(), HookSecret::new(SECRET).unwrap()];
    let headers = Headers::new(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    proof(forge, &headers, BODY, &secrets, (sha1, at(1_700_000_000)))
}

#[test]
fn githubs_own_example_verifies() {
    // From GitHub's documentation of webhooks: the secret, the payload and the signature.
    let secrets = [HookSecret::new("It's a Secret to Everybody").unwrap()];
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = Headers::new([("X-Hub-Signature-256", signature.as_bytes())]);
    let is_ours = |body: &[u8]| proof(Forge::GitHub, &headers, body, &secrets, (false, at(0)));
    assert_eq!(is_ours(b"Hello, World!"), Some(Proof::Body));
    assert_eq!(is_ours(b"Hello, World"), None);
}

#[test]
fn standard_webhooks_own_example_verifies_within_its_window() {
    // From the specification's reference libraries.
    let secrets = [HookSecret::new(SECRET).unwrap()];
    let headers = Headers::new([
        ("webhook-id", b"msg_p5jXN8AQM9LWM0D4loKWxJek".as_slice()),
        ("webhook-timestamp", b"1614265330"),
        ("webhook-signature", b"v1a,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]);
    let body = br#"{"test": 2432232314}"#;
    let seen = |now| proof(Forge::GitLab, &headers, body, &secrets, (false, at(now)));
    let id = Proof::Message("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned());
    for (now, expected) in [
        (1_614_265_330, Some(id.clone())),
        (1_614_265_630, Some(id.clone())),
        (1_614_265_030, Some(id)),
        (1_614_265_631, None),
        (1_614_265_029, None),
    ] {
        assert_eq!(seen(now), expected, "{now}");
    }
}

#[test]
fn each_forge_has_its_own_header_and_a_secret_that_is_being_replaced_still_counts() {
    let right = hmac_of(HMAC_SHA256, SECRET, BODY);
    let old = hmac_of(HMAC_SHA256, "the old secret", BODY);
    let (marked, marked_old) = (format!("sha256={right}"), format!("sha256={old}"));
    for (forge, name, value) in [
        (Forge::GitHub, "x-hub-signature-256", marked.as_str()),
        (Forge::GitHub, "x-hub-signature-256", marked_old.as_str()),
        (Forge::Bitbucket, "x-hub-signature", marked.as_str()),
        (Forge::Gitea, "x-gitea-signature", right.as_str()),
        (Forge::Gitea, "x-gogs-signature", right.as_str()),
        (Forge::Forgejo, "x-forgejo-signature", old.as_str()),
        (Forge::Unknown, "x-hub-signature-256", marked.as_str()),
    ] {
        assert_eq!(check(forge, &[(name, value)], false), Some(Proof::Body), "{forge:?} {name}");
    }
    assert_eq!(check(Forge::GitLab, &[("x-gitlab-token", SECRET)], false), Some(Proof::Token));
}

#[test]
fn whatever_is_not_quite_a_signature_is_none() {
    let right = hmac_of(HMAC_SHA256, SECRET, BODY);
    let wrong = hmac_of(HMAC_SHA256, "another secret", BODY);
    let short = format!("sha256={}", &right[..62]);
    let long = format!("sha256={right}00");
    let other = format!("sha256={wrong}");
    let sha512 = format!("sha512={right}");
    for value in ["", "sha256=", "sha256", &right, &short, &long, &other, &sha512, "sha256=é", "sha1="] {
        for forge in [Forge::GitHub, Forge::Bitbucket, Forge::Unknown] {
            assert_eq!(check(forge, &[("x-hub-signature-256", value)], true), None, "{value}");
            if value != sha512 {
                assert_eq!(check(forge, &[("x-hub-signature", value)], true), None, "{value}");
            }
        }
    }
    for value in ["", "zz", &wrong, &right[..63], &format!("sha256={right}")] {
        assert_eq!(check(Forge::Gitea, &[("x-gitea-signature", value)], true), None, "{value}");
    }
    for value in ["", &SECRET[1..], &format!("{SECRET}x"), "the"] {
        assert_eq!(check(Forge::GitLab, &[("x-gitlab-token", value)], true), None, "{value}");
    }
    assert_eq!(check(Forge::GitHub, &[], true), None);
    // The token's header is GitLab's alone.
    assert_eq!(check(Forge::GitHub, &[("x-gitlab-token", SECRET)], true), None);
}

#[test]
fn a_wrong_signature_is_not_made_good_by_a_weaker_or_a_second_one() {
    let right = hmac_of(HMAC_SHA256, SECRET, BODY);
    let (marked, zero) = (format!("sha256={right}"), format!("sha256={}", "0".repeat(64)));
    let cases: [&[(&str, &str)]; 5] = [
        &[("webhook-signature", "v1,AAAA"), ("x-gitlab-token", SECRET)],
        &[("x-gitea-signature", &zero), ("x-hub-signature-256", &marked)],
        &[("x-hub-signature-256", &zero), ("x-hub-signature", &marked)],
        &[("x-hub-signature-256", &zero), ("x-hub-signature-256", &marked)],
        &[("x-hub-signature", &zero), ("x-gitlab-token", SECRET)],
    ];
    for case in cases {
        for forge in [Forge::Gitea, Forge::GitLab] {
            let bare = forge.bare_signatures().contains(&case[0].0);
            if bare || !case[0].0.contains("gitea") {
                assert_eq!(check(forge, case, true), None, "{case:?}");
            }
        }
    }
}

#[test]
fn sha1_counts_by_explicit_option_alone() {
    let value = format!("sha1={}", hmac_of(HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET, BODY));
    let given = [("x-hub-signature", value.as_str())];
    assert_eq!(check(Forge::Unknown, &given, true), Some(Proof::Body));
    assert_eq!(check(Forge::Unknown, &given, false), None);
}
