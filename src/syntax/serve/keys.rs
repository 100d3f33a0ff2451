//! Keys of `serve.ron` and what each is for: what the reader knows, and what `imk serve keys` shows.

/// The keys of the file.
pub const SERVE_KEYS: &[(&str, &str)] = &[
    (
        "listen",
        "where it listens: \"127.0.0.1:8737\", which is the default, or \"systemd\" for a socket that is handed over",
    ),
    ("public_url", "the address under which people and forges reach it: \"https://imk.example.com\""),
    (
        "hosts",
        "more names of hosts by which it may be called; addresses in digits and `localhost` always may",
    ),
    ("state", "the folder for queue, logs, secrets and checkouts; --state is stronger"),
    (
        "queue",
        "\"redis://HOST:PORT\" for workers on several machines, or Env(\"NAME\"), File(\"path\"); else a file in `state`",
    ),
    ("workers", "jobs that this process does at once [default: 1]; 0 leaves them to `imk worker`"),
    ("labels", "labels that workers of this process have, such as [\"jdk8\", \"sbt\"]"),
    ("lease", "a worker that says nothing for so long has lost its job [default: \"60s\"]"),
    ("tries", "a job whose worker died, or that could not begin, is tried so often [default: 3]"),
    ("logs", "how much is kept of old jobs: (age: \"30d\", size: \"1GiB\", one: \"64MiB\")"),
    ("tls", "a certificate and its key: (certificate: \"chain.pem\", key: \"key.pem\")"),
    (
        "readable",
        "folders with tools that steps may read where the server is not root, beside those of the system and of PATH",
    ),
    ("credentials", "logins by name: {\"team\": (git_token: Env(\"TEAM_TOKEN\"))}"),
    (
        "notify",
        "places to tell of ends, by name: {\"chat\": Slack(Env(\"CHAT_URL\")), \"log\": Webhook(\"https://…\")}",
    ),
    (
        "repositories",
        "repositories by name: {\"team/images\": (url: \"https://git.example.com/team/images.git\")}",
    ),
];

/// The keys of `logs`.
pub const LOG_KEYS: &[(&str, &str)] = &[
    ("age", "older jobs and their logs go [default: \"30d\"]"),
    ("size", "logs take at most so much together; the oldest go first [default: \"1GiB\"]"),
    ("one", "a single log has at most so much [default: \"64MiB\"]"),
];

/// The keys of `tls`.
pub const TLS_KEYS: &[(&str, &str)] = &[
    ("certificate", "the file of the certificates in PEM, the server's own first"),
    ("key", "the file of the private key in PEM"),
];

/// The keys of one of `credentials`.
pub const CREDENTIAL_KEYS: &[(&str, &str)] = &[
    ("git_token", "a token with which git fetches over HTTPS: Env(\"NAME\") or File(\"path\")"),
    ("ssh_key", "the file of a private key with which git fetches over ssh"),
    ("forge_token", "a token for statuses at commits; else git_token"),
    ("docker_config", "the folder of a config.json with logins for registries"),
    (
        "jenkins",
        "the Jenkins of `tools jenkins`: (url: \"https://ci.example.com\", user: \"imk\", token: Env(\"NAME\"))",
    ),
    ("env", "variables for steps: {\"NPM_TOKEN\": Env(\"NPM_TOKEN\")}"),
];

/// The keys of a login's `jenkins`.
pub const JENKINS_KEYS: &[(&str, &str)] = &[
    ("url", "its address"),
    ("user", "the user that starts jobs"),
    ("token", "that user's API token: Env(\"NAME\") or File(\"path\")"),
];

/// The keys of one of `repositories`.
pub const REPOSITORY_KEYS: &[(&str, &str)] = &[
    ("url", "the address, for git"),
    ("forge", "\"github\", \"gitlab\", \"gitea\" or \"bitbucket\", where the host does not say it"),
    ("forge_api", "the address of the forge's API, where it is not the usual one"),
    (
        "branches",
        "branches that are kept fresh: [\"main\", \"release-*\"]; else the one that the repository calls its own",
    ),
    ("imagefile", "the Imagefile's path in the repository, where it is not the usual one"),
    ("credentials", "a name of the file's `credentials`"),
    ("poll", "how often branches are looked at [default: \"3m\"], or \"never\""),
    (
        "schedule",
        "when bases and sources outside are looked at: a cron expression and a zone, \"0 3 * * * Europe/Berlin\", or several",
    ),
    ("labels", "labels that a worker must have"),
    (
        "do",
        "how far a job goes: \"check\", \"build\", \"test\" or \"publish\" [default: \"publish\", where the Imagefile's `publish` admits it]",
    ),
    ("env", "variables for steps of integration.yml: {\"NAME\": \"value\"}"),
    ("running", "the running job when its branch moves on: \"finish\" [default] or \"cancel\""),
    (
        "forks",
        "pull requests of forks: \"never\" [default] or \"check\", which makes a plan and runs nothing of theirs",
    ),
    (
        "authors",
        "those who write to it: \"strangers\" [default], or \"trusted\" with all that the server's user has",
    ),
    ("time_limit", "a job that takes longer is ended [default: \"2h\"]"),
    ("notify", "names of the file's `notify`"),
    ("statuses", "statuses at commits: \"one\" [default], \"images\" or \"never\""),
    ("sha1", "true takes hooks that are signed with SHA-1 alone, as old senders do"),
];
