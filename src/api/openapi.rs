//! The OpenAPI document. What every operation of a kind has in common (its errors, the security, the
//! parts of its path) is added here and follows from the table of errors, so that no handler can
//! forget it.

use std::collections::BTreeMap;

use memcloud_rest::Problem;
use utoipa::openapi::path::{
    HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, Content, Info, InfoBuilder, License, OpenApi, Ref, RefOr, Required, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_actix_web::AppExt;

use super::error::ErrorCode;
use super::idempotency;
use super::server::{Shown, register};

/// The OpenAPI 3.1 document of the whole API.
#[must_use]
pub fn openapi() -> OpenApi {
    let app = actix_web::App::new().into_utoipa_app();
    let (_, mut document) = app.configure(|config| register(config, Shown::All)).split_for_parts();
    document.info = info();
    complete(&mut document);
    document
}

fn info() -> Info {
    InfoBuilder::new()
        .title("MEMCloud")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Microgrids, their homes, and the energy apps that run on them. JSON in `snake_case`, \
             times in RFC 3339, errors as RFC 9457 `application/problem+json` with a stable `code`. \
             Power is positive where it is taken from the home's bus (a load, a charging battery, \
             export to the grid) and negative where it is fed to it.",
        ))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .contact(Some(ContactBuilder::new().name(Some("MEMCloud")).build()))
        .build()
}

const BEARER: &str = "bearer";

fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.schemas.insert(ID.to_owned(), memcloud_rest::schemas::Id::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token, as `memcloud token add` makes it."))
        .build();
    components.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_parameters(path, &method, operation);
            let is_change = method == HttpMethod::Patch;
            let name = operation.operation_id.as_deref();
            if is_change || matches!(name, Some("create_enrolment_token" | "submit_wishes")) {
                // No field of these is required, and no body at all reads as `{}`.
                if let Some(RefOr::T(body)) = &mut operation.request_body {
                    body.required = Some(Required::False);
                }
            }
            if path.starts_with(super::BASE) {
                add_errors(path, &method, operation);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, item.get.as_mut()),
        (HttpMethod::Post, item.post.as_mut()),
        (HttpMethod::Patch, item.patch.as_mut()),
        (HttpMethod::Delete, item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

const ID: &str = "Id";

/// The named parts of a path, each with what it names.
const PARTS: [(&str, &str); 5] = [
    ("microgrid", "The microgrid's id."),
    ("hem", "The HEM's id."),
    ("job", "The job's id."),
    ("command", "The command's id."),
    ("id", "The enrolment token's id, a UUID; not its secret."),
];

fn add_parameters(path: &str, method: &HttpMethod, operation: &mut Operation) {
    // A handler's extractors may have named a part of the path too, without its form.
    let parameters = operation.parameters.get_or_insert_default();
    parameters.retain(|parameter| {
        !matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path)
    });
    for (part, meaning) in PARTS {
        if !path.contains(&format!("{{{part}}}")) {
            continue;
        }
        let schema: RefOr<utoipa::openapi::Schema> = if part == "id" {
            string().format(Some(utoipa::openapi::SchemaFormat::Custom("uuid".to_owned()))).into()
        } else {
            Ref::from_schema_name(ID).into()
        };
        parameters.push(
            ParameterBuilder::new()
                .name(part)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(meaning))
                .schema(Some(schema))
                .build()
                .into(),
        );
    }
    if *method == HttpMethod::Post {
        parameters.push(idempotency_key().into());
    }
    if parameters.is_empty() {
        operation.parameters = None;
    }
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name(idempotency::HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Chosen by the caller. The same request with the same key is done once, and has the \
             same answer for 24 hours.",
        ))
        .schema(Some(string().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(255))))
        .build()
}

/// The errors that an operation can answer, by what it takes.
fn errors_of(path: &str, method: &HttpMethod, operation: &Operation) -> Vec<ErrorCode> {
    use ErrorCode as E;
    let mut errors =
        vec![E::Unauthenticated, E::Forbidden, E::TooManyRequests, E::Unavailable, E::Unanswered];
    let parameters = operation.parameters.iter().flatten();
    let query: Vec<_> = parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .filter(|parameter| parameter.parameter_in == ParameterIn::Query)
        .map(|parameter| parameter.name.as_str())
        .collect();
    if path.contains('{') {
        errors.extend([E::BadPath, E::NotFound]);
    }
    if !query.is_empty() {
        errors.push(E::BadQuery);
    }
    if query.contains(&"after") {
        errors.push(E::BadCursor);
    }
    if query.contains(&"microgrid") || query.contains(&"hem") {
        errors.push(E::NotFound);
    }
    if path.ends_with("/history") {
        errors.push(E::InvalidValue);
    }
    if operation.request_body.is_some() {
        errors.extend([
            E::BadRequest,
            E::BadBody,
            E::RequestTimeout,
            E::BodyTooLarge,
            E::UnsupportedMediaType,
            E::InvalidValue,
            E::NotFound,
        ]);
    }
    match method {
        HttpMethod::Post => errors.extend([
            E::BadHeader,
            E::AlreadyExists,
            E::LimitReached,
            E::InProgress,
            E::SecretShown,
            E::KeyReused,
        ]),
        HttpMethod::Delete => errors.push(E::InUse),
        _ => {}
    }
    if path.ends_with("/commands") {
        errors.push(E::TooManyCommands);
    }
    match operation.operation_id.as_deref() {
        Some("cancel_command") => errors.push(E::TooLate),
        Some("submit_wishes") => errors.extend([E::NotExternal, E::NotRunning]),
        Some("create_job_token") => errors.push(E::NotExternal),
        _ => {}
    }
    let types: usize = operation
        .responses
        .responses
        .values()
        .map(|response| match response {
            RefOr::T(response) => response.content.len(),
            RefOr::Ref(_) => 0,
        })
        .sum();
    if path.ends_with("/live") {
        errors.extend([E::NotAcceptable, E::BadHeader, E::ForeignOrigin, E::TooManyListeners]);
    } else if types > 1 {
        errors.push(E::NotAcceptable);
    }
    errors
}

fn add_errors(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    let possible = errors_of(path, method, operation);
    for code in ErrorCode::ALL.iter().filter(|code| possible.contains(code)) {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let lines: Vec<_> =
            codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
        operation
            .responses
            .responses
            .entry(status.to_string())
            .or_insert_with(|| RefOr::T(problem(&lines.join("\n\n"))));
    }
}

fn problem(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
    ResponseBuilder::new().description(description).content(Problem::CONTENT_TYPE, content).build()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_who_may() {
        let mut document = openapi();
        let mut names = HashSet::new();
        for (path, item) in &mut document.paths.paths {
            for (_, operation) in operations(item) {
                let name = operation.operation_id.clone().unwrap_or_default();
                assert!(names.insert(name.clone()), "{path}: {name} is taken");
                assert!(operation.summary.is_some(), "{path} has no summary");
                let answers = &operation.responses.responses;
                assert_eq!(answers.contains_key("401"), path.starts_with(super::super::BASE));
                assert_eq!(
                    operation.request_body.is_some(),
                    answers.contains_key("415"),
                    "{name} {path}"
                );
            }
        }
        assert!(names.len() > 30, "{names:?}");
    }

    /// An operation in a line: what it takes, and what it answers.
    fn line(path: &str, method: &str, operation: &serde_json::Value) -> String {
        let mut takes = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let optional = if parameter["required"] == true { "" } else { "?" };
            takes.push(format!("{}{optional}", parameter["name"].as_str().unwrap()));
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        takes.extend(schema["$ref"].as_str().map(|name| name.replace("#/components/schemas/", "")));
        let answers: Vec<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
        let name = operation["operationId"].as_str().unwrap();
        format!(
            "{} {path} {name}({}) {}",
            method.to_uppercase(),
            takes.join(", "),
            answers.join(" ")
        )
    }

    #[test]
    fn what_others_build_on_changes_only_on_purpose() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut lines = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                lines.push(line(path, method, operation));
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let mut fields = Vec::new();
            let parts = schema["allOf"].as_array();
            for part in parts.into_iter().flatten().chain([schema]) {
                let required = part["required"].as_array();
                for field in part["properties"].as_object().into_iter().flat_map(|all| all.keys()) {
                    let is_required =
                        required.is_some_and(|all| all.iter().any(|one| one == field.as_str()));
                    fields.push(format!("{field}{}", if is_required { "" } else { "?" }));
                }
                fields.extend(
                    part["$ref"]
                        .as_str()
                        .map(|name| format!("..{}", name.replace("#/components/schemas/", ""))),
                );
            }
            for value in schema["enum"].as_array().into_iter().flatten() {
                fields.push(value.to_string());
            }
            lines.push(format!("{name} {{ {} }}", fields.join(", ")));
        }
        insta::assert_snapshot!("surface", lines.join("\n"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_string(&openapi()).unwrap();
        let components = openapi().components.unwrap();
        for reference in document.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(components.schemas.contains_key(name), "{name} is not defined");
        }
        assert!(document.starts_with("{\"openapi\":\"3.1.0\""));
    }
}
