//! Dockerfiles that stand in the Imagefile.

use crate::sandbox::{Sandbox, engine_or_skip};

const IMAGEFILE: &str = r##"(
    images: {
        "base": (dockerfile_inline: "FROM scratch\nLABEL PREFIX\n"),
        "team/web": (context: "web", args: {"V": "1"}, dockerfile_inline: r#"FROM base
ARG V
LABEL v="${V}"
COPY one.txt /
"#),
    },
)
"##;

fn imagefile(sandbox: &Sandbox) -> String {
    IMAGEFILE.replace("PREFIX", &format!("imk.test={}", sandbox.prefix()))
}

#[test]
fn an_image_of_a_few_lines_needs_no_file() {
    let Some(sandbox) = engine_or_skip("inline Dockerfiles") else { return };
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox)).edit("web/one.txt", "1");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["base", "team/web"]);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    assert_eq!(sandbox.file_in("team/web", "/one.txt"), "1");
    // A comment is none of it, an instruction is, and so is a file.
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox).replace("COPY", "# of today\nCOPY"));
    sandbox.imk("plan").code(0).says("2 fresh, 0 to build");
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox).replace("v=\"${V}\"", "w=\"${V}\""));
    let why = sandbox.imk("why team/web").code(0).out();
    assert!(why.contains("w=1"), "{why}");
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox)).edit("web/one.txt", "2");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["team/web"]);
    sandbox.imk("doctor").code(0);
}

#[test]
fn a_mistake_in_it_has_its_line_and_it_is_exported_and_imported() {
    let sandbox = Sandbox::empty().without_engine();
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox).replace("COPY one", "COPPY one"));
    let told = sandbox.imk("plan team/web").code(2).err();
    assert!(
        told.contains("--> Imagefile.ron#team/web:4:1") && told.contains("4 | COPPY one.txt /"),
        "{told}"
    );
    sandbox.edit("Imagefile.ron", &imagefile(&sandbox)).edit("web/one.txt", "1");
    let plan = sandbox.imk("plan --json").code(0).out();
    let bake = sandbox.imk("graph --bake").code(0).out();
    assert!(bake.contains("\"dockerfile-inline\": \"FROM base\\nARG V\\nLABEL v=\\\"$${V}\\\""), "{bake}");
    sandbox.edit("docker-bake.json", &bake);
    sandbox.imk("import --force docker-bake.json").code(0);
    let keys = |plan: &str| -> Vec<String> {
        let plan: serde_json::Value = serde_json::from_str(plan).unwrap();
        let jobs = plan["images"].as_array().unwrap();
        jobs.iter().map(|job| job["key"].to_string()).collect()
    };
    assert_eq!(keys(&sandbox.imk("plan --json").code(0).out()), keys(&plan));
    sandbox.imk("fmt").code(0);
    assert_eq!(keys(&sandbox.imk("plan --json").code(0).out()), keys(&plan));
}
