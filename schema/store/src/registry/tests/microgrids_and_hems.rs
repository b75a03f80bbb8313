use memcloud_domain::{NodeDeclaration, NodeId, NodeKind, PowerLimits, Watts};
use proptest::prelude::*;

use super::*;

on_every_engine! {
    a_microgrid_is_kept_as_it_was_made,
    a_microgrid_cannot_be_made_twice,
    a_change_of_a_microgrid_touches_only_what_it_names,
    a_microgrid_with_hems_or_jobs_is_not_deleted,
    a_hem_is_registered_once_and_in_a_microgrid_that_there_is,
    the_roster_has_the_hems_of_one_microgrid_with_their_nodes,
    a_page_is_of_one_microgrid_when_one_is_named,
    a_homes_limits_are_set_one_by_one_and_lifted,
    paging_shows_once_what_was_there_all_along,
}

fn a_microgrid_is_kept_as_it_was_made(registry: Fixture) {
    let mut microgrid = a_microgrid("fontana");
    microgrid.limits.import_watts = Some(Watts(50_000.0));
    registry.create_microgrid(&microgrid).unwrap();
    assert_eq!(registry.microgrid(&microgrid.id).unwrap(), microgrid);
    assert_eq!(registry.opened_again().microgrid(&microgrid.id).unwrap(), microgrid);
}

fn a_microgrid_cannot_be_made_twice(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let error = registry.create_microgrid(&a_microgrid("fontana")).unwrap_err();
    assert!(
        matches!(error, RegistryError::AlreadyExists { what: "microgrid", ref id } if id == "fontana")
    );
}

fn a_change_of_a_microgrid_touches_only_what_it_names(registry: Fixture) {
    let mut microgrid = a_microgrid("fontana");
    microgrid.limits.import_watts = Some(Watts(50_000.0));
    registry.create_microgrid(&microgrid).unwrap();

    let renamed = MicrogridChange { name: Some("New".to_owned()), ..Default::default() };
    let changed = registry.update_microgrid(&microgrid.id, &renamed).unwrap();
    assert_eq!(changed, Microgrid { name: "New".to_owned(), ..microgrid.clone() });

    let lifted = MicrogridChange { import_watts: Some(None), ..Default::default() };
    let changed = registry.update_microgrid(&microgrid.id, &lifted).unwrap();
    assert_eq!(changed.limits.import_watts, None);
    assert_eq!(changed.name, "New");

    let nothing = registry.update_microgrid(&microgrid.id, &MicrogridChange::default()).unwrap();
    assert_eq!(nothing, changed);
    let error = registry.update_microgrid(&microgrid_id("other"), &renamed).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { what: "microgrid", .. }));
}

fn a_microgrid_with_hems_or_jobs_is_not_deleted(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.register("one", "fontana", "key");
    registry.register("two", "fontana", "other");
    let error = registry.delete_microgrid(&microgrid_id("fontana")).unwrap_err();
    assert_eq!(error.to_string(), "the microgrid \"fontana\" still has 2 HEMs; delete those first");
    registry.delete_hem(&hem("one")).unwrap();
    registry.delete_hem(&hem("two")).unwrap();
    registry.delete_microgrid(&microgrid_id("fontana")).unwrap();
    let error = registry.delete_microgrid(&microgrid_id("fontana")).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }));
}

fn a_hem_is_registered_once_and_in_a_microgrid_that_there_is(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let registered = registry.register("one", "fontana", "key");
    assert_eq!(registered.name, "one");
    assert_eq!(registered.key, KeyState::Pending);
    assert_eq!(registry.hem(&hem("one")).unwrap(), registered);

    let new = |id: &str, microgrid: &str| NewHem {
        id: hem(id),
        microgrid: microgrid_id(microgrid),
        name: None,
        key: hash("key"),
        created: Timestamp(0),
    };
    let error = registry.register_hem(&new("one", "fontana")).unwrap_err();
    assert!(matches!(error, RegistryError::AlreadyExists { what: "hem", .. }));
    let error = registry.register_hem(&new("two", "nowhere")).unwrap_err();
    assert!(
        matches!(error, RegistryError::NotFound { what: "microgrid", ref id } if id == "nowhere")
    );
}

fn the_roster_has_the_hems_of_one_microgrid_with_their_nodes(registry: Fixture) {
    let registry = registry.with_microgrid("fontana").with_microgrid("other");
    registry.register("one", "fontana", "key 1");
    registry.register("two", "fontana", "key 2");
    registry.register("three", "other", "key 3");
    let nodes = vec![NodeDeclaration {
        node: NodeId(3),
        name: "Battery".to_owned(),
        kind: NodeKind::Storage,
        rated_watts: Some(Watts(5_000.0)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: None,
    }];
    let arrival = Arrival {
        hem: hem("two"),
        proof: Proof::Key(hash("key 2")),
        nodes: Some(nodes.clone()),
        firmware: Some("1.2".to_owned()),
    };
    registry.record_arrivals(&[arrival], Timestamp(0)).unwrap();

    let (microgrid, hems) = registry.roster(&microgrid_id("fontana")).unwrap();
    assert_eq!(microgrid.id, microgrid_id("fontana"));
    let seen: Vec<_> = hems.iter().map(|hem| (hem.id.as_str(), hem.nodes.clone())).collect();
    assert_eq!(seen, [("one", vec![]), ("two", nodes)]);
    assert_eq!(hems[1].firmware.as_deref(), Some("1.2"));
}

fn all_pages(registry: &SqlRegistry, limit: usize, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = PageRequest::first(limit);
    for number in 0.. {
        let listing = registry.hems(None, &page).unwrap();
        assert!(listing.items.len() <= limit);
        seen.extend(listing.items.iter().map(|hem| hem.id.to_string()));
        match listing.next {
            Some(next) => page = PageRequest { after: Some(next), limit },
            None => break,
        }
        between(number);
    }
    seen
}

fn paging_shows_once_what_was_there_all_along(registry: Fixture) {
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(
        ids in proptest::collection::btree_set("[a-c0-2]{1,3}", 0..12),
        changing in proptest::collection::vec(("[a-c0-2]{1,3}", any::<bool>()), 0..12),
        limit in 1_usize..5,
    )| {
        registry.empty();
        registry.create_microgrid(&a_microgrid("fontana")).unwrap();
        for id in &ids {
            registry.register(id, "fontana", id);
        }
        let touched: std::collections::BTreeSet<&String> =
            changing.iter().map(|(id, _)| id).collect();
        let seen = all_pages(&registry, limit, |number| {
            let Some((id, add)) = changing.get(number) else { return };
            if *add {
                // It may be there already.
                let _ = registry.register_hem(&NewHem {
                    id: hem(id),
                    microgrid: microgrid_id("fontana"),
                    name: None,
                    key: hash(&format!("new {id}")),
                    created: Timestamp(0),
                });
            } else {
                let _ = registry.delete_hem(&hem(id));
            }
        });
        prop_assert!(seen.is_sorted_by(|one, next| one < next), "twice, or out of order: {seen:?}");
        for id in ids.iter().filter(|id| !touched.contains(id)) {
            prop_assert!(seen.contains(id), "{id} is missing in {seen:?}");
        }
    });
}

fn a_page_is_of_one_microgrid_when_one_is_named(registry: Fixture) {
    let registry = registry.with_microgrid("fontana").with_microgrid("other");
    for id in ["a", "b", "c"] {
        registry.register(id, if id == "b" { "other" } else { "fontana" }, id);
    }
    let page = registry.hems(Some(&microgrid_id("fontana")), &PageRequest::first(10)).unwrap();
    let ids: Vec<_> = page.items.iter().map(|hem| hem.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(page.next, None);
    let error = registry.hems(Some(&microgrid_id("nowhere")), &PageRequest::first(10)).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { what: "microgrid", .. }));
}

fn a_homes_limits_are_set_one_by_one_and_lifted(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.register("one", "fontana", "key");
    let change = HemChange { import_watts: Some(Some(Watts(9_000.0))), ..HemChange::default() };
    registry.update_hem(&hem("one"), &change).unwrap();
    let change = HemChange { export_watts: Some(Some(Watts(0.0))), ..HemChange::default() };
    let changed = registry.update_hem(&hem("one"), &change).unwrap();
    let limits = PowerLimits { import_watts: Some(Watts(9_000.0)), export_watts: Some(Watts(0.0)) };
    assert_eq!(changed.limits, limits);
    let (_, roster) = registry.opened_again().roster(&microgrid_id("fontana")).unwrap();
    assert_eq!(roster[0].limits, limits);
    let change = HemChange { import_watts: Some(None), ..HemChange::default() };
    let changed = registry.update_hem(&hem("one"), &change).unwrap();
    assert_eq!(changed.limits, PowerLimits { import_watts: None, ..limits });
}
