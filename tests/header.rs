//! The committed header is what the sources say. After a change of the C
//! interface: `make header`.

use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut made = Vec::new();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in [
        "error",
        "abi",
        "capi/group",
        "capi/stop",
        "capi/signals",
        "capi/report",
        "capi/drive",
    ] {
        builder = builder.with_src(root.join(format!("src/{file}.rs")));
    }
    builder
        .generate()
        .expect("the sources parse")
        .write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");
    let path = root.join("include/rungroup.h");
    if std::env::var_os("RUNGROUP_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).expect("include/ can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("include/rungroup.h");
    assert!(
        made == committed,
        "include/rungroup.h is stale: run `make header` and commit it"
    );
}
