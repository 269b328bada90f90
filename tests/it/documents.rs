//! What the documents claim of tests: every test that they name exists.

use std::collections::BTreeSet;

#[test]
fn every_test_that_a_document_names_exists() {
    let mut named = 0;
    let mut missing = BTreeSet::new();
    for entry in std::fs::read_dir(crate::root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let Some((file, test)) = quoted.split_once(".rs::") else { continue };
            named += 1;
            let source = crate::root().join(format!("{file}.rs"));
            let source = std::fs::read_to_string(source).unwrap_or_default();
            let name = test.rsplit("::").next().unwrap_or(test);
            if !source.contains(&format!("fn {name}(")) {
                missing.insert(format!("{}: {quoted}", path.display()));
            }
        }
    }
    assert!(named > 300, "the documents name {named} tests: they are read wrongly");
    assert!(missing.is_empty(), "{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}
