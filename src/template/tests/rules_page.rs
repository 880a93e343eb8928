//! The page of all rules is generated: no code without a sentence, none that does not exist.

use waybill_domain::DefectKind;

use super::*;

fn page() -> String {
    let mut text = String::from(
        "# Rules for graphs and their templates\n\n\
         `waybill graph check` names each fault as `file:line:column: code: what`, with a way on which it happens where there\n\
         is one. A code is never changed and never used for another rule. This page is generated: `make accept`.\n\n\
         ## The graph\n\n| code | rule |\n|---|---|\n",
    );
    for kind in DefectKind::ALL {
        writeln!(text, "| `{}` | {} |", kind.code(), kind.rule()).unwrap();
    }
    text += "\n## The template\n\n| code | rule |\n|---|---|\n";
    for rule in TemplateRule::ALL {
        writeln!(text, "| `{}` | {} |", rule.code(), rule.rule()).unwrap();
    }
    text
}

#[test]
fn the_page_of_rules_is_generated() {
    let path = at_home("docs/graph-rules.md");
    if std::env::var_os("WAYBILL_ACCEPT").is_some() {
        std::fs::write(&path, page()).unwrap();
    }

    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == page(),
        "docs/graph-rules.md is not what the rules say: accept it with WAYBILL_ACCEPT=1"
    );
}

#[test]
fn no_two_rules_have_one_code() {
    let graph = DefectKind::ALL.iter().map(|kind| kind.code());
    let mut codes: Vec<&str> = graph.chain(TemplateRule::ALL.iter().map(|rule| rule.code())).collect();
    let all = codes.len();
    codes.sort_unstable();
    codes.dedup();

    assert_eq!(codes.len(), all);
    assert!(all >= 25);
}
