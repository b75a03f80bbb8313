//! The paths below the base, one file per resource.

mod cluster;
mod commands;
mod hems;
mod history;
mod jobs;
mod many_commands;
mod microgrids;
mod parameters;
mod raw;
mod session;
mod tree;
mod why;
mod wishes;

use utoipa_actix_web::service_config::ServiceConfig;

/// Registers all paths below the base.
pub(crate) fn register(config: &mut ServiceConfig<'_>) {
    config
        .service(session::who_am_i)
        .service(microgrids::list)
        .service(microgrids::create)
        .service(microgrids::get)
        .service(microgrids::update)
        .service(microgrids::delete)
        .service(microgrids::list_enrolment_tokens)
        .service(microgrids::create_enrolment_token)
        .service(microgrids::revoke_enrolment_tokens)
        .service(microgrids::revoke_enrolment_token)
        .service(microgrids::hems)
        .service(history::of_microgrid)
        .service(jobs::list_of_microgrid)
        .service(jobs::create)
        .service(hems::list)
        .service(hems::register)
        .service(hems::get)
        .service(hems::update)
        .service(hems::delete)
        .service(hems::rotate_key)
        .service(hems::revoke_key)
        .service(raw::readings)
        .service(raw::events)
        .service(history::of_hem)
        .service(commands::make)
        .service(commands::list)
        .service(commands::get)
        .service(commands::cancel)
        .service(many_commands::make)
        .service(why::of_hem)
        .service(why::of_microgrid)
        .service(jobs::apps)
        .service(jobs::list)
        .service(jobs::get)
        .service(jobs::update)
        .service(jobs::delete)
        .service(jobs::log)
        .service(jobs::results)
        .service(wishes::submit)
        .service(wishes::create_token)
        .service(wishes::revoke_token)
        .service(super::live::live)
        .service(cluster::cluster)
        .service(tree::tree);
}
