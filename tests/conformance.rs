//! The shared table of cases (`tests/conformance/README.md`), run through the
//! machine alone and through the Rust API.

#[path = "conformance/machine.rs"]
mod machine;
#[path = "conformance/rust.rs"]
mod rust;
#[path = "conformance/table.rs"]
mod table;

use table::{Case, FEATURES};

/// Runs every case that needs no more than `features`; a runner gives its
/// complaints.
fn conform(features: &[&str], run: impl Fn(&Case) -> Vec<String>) {
    let cases = table::read();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in &cases {
        for need in &case.needs {
            assert!(
                FEATURES.contains(&need.as_str()),
                "{}: needs {need}?",
                case.name
            );
        }
        let mut needs = case.needs.iter().map(String::as_str);
        if let Some(need) = needs.find(|need| !features.contains(need)) {
            println!("skip {} (needs {need})", case.name);
            skipped += 1;
            continue;
        }
        let complaints = run(case);
        if complaints.is_empty() {
            println!("ok   {}", case.name);
            passed += 1;
        } else {
            println!(
                "FAIL {}\n    rule {}: {}",
                case.name, case.rule, case.proves
            );
            complaints
                .iter()
                .for_each(|complaint| println!("    {complaint}"));
            failed += 1;
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    assert_eq!(passed + failed + skipped, cases.len());
    assert!(passed > 0 && failed == 0, "{failed} cases failed");
}

#[test]
fn every_rule_has_a_case() {
    let cases = table::read();
    for rule in 1..=15 {
        assert!(cases.iter().any(|case| case.rule == rule), "rule {rule}");
    }
    for (at, case) in cases.iter().enumerate() {
        assert!(!case.proves.is_empty(), "{}", case.name);
        assert!(
            cases[..at].iter().all(|other| other.name != case.name),
            "{}",
            case.name
        );
    }
}

#[test]
fn the_machine_conforms() {
    conform(machine::FEATURES, machine::run);
}

#[test]
fn the_rust_api_conforms() {
    conform(rust::FEATURES, rust::run);
}
