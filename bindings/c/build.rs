//! Gives the shared library its name and keeps it mapped.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    match os.as_str() {
        "macos" => println!(
            "cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/librungroup.{major}.dylib"
        ),
        "windows" => {}
        _ => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,librungroup.so.{major}");
            // A stuck actor's thread runs this library's code for ever: dlclose
            // must not unmap it.
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
    }
}
