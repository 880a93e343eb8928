use super::*;

#[test]
fn the_shipped_template_is_good() {
    let template = Template::parse(SHIPPED, SHIPPED_NAME).unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(template.graphs().count(), 1);
}
