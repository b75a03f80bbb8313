//! Every app has a page, and the page names every setting with its default's name.

use std::path::Path;

use memcloud_worker::AppCatalogue;

#[test]
fn every_app_has_a_page_that_names_each_of_its_settings() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/apps");
    for app in AppCatalogue::standard().describe() {
        let name = app.about.name;
        let page = std::fs::read_to_string(pages.join(format!("{name}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let settings = app.schema["properties"].as_object().unwrap();
        assert!(!settings.is_empty(), "{name}");
        for setting in settings.keys() {
            assert!(
                page.contains(&format!("`{setting}`")),
                "{name} does not say what {setting} is"
            );
        }
    }
}

#[test]
fn every_default_configuration_is_valid_and_keeps_its_shape() {
    let catalogue = AppCatalogue::standard();
    for app in catalogue.describe() {
        let name = app.about.name;
        let validated = catalogue.validate(name, &app.default_configuration).unwrap();
        assert_eq!(validated, app.default_configuration, "{name}");
        let state = serde_json::Value::Null;
        let mut running = catalogue.get(name).unwrap().start(&validated, &state).unwrap();
        let saved = running.save().unwrap();
        running = catalogue.get(name).unwrap().start(&validated, &saved).unwrap();
        assert_eq!(running.save().unwrap(), saved, "{name}");
    }
}
