//! A REST caller for the tests: plain requests, plain JSON.

use std::time::Duration;

use serde_json::Value;

use crate::support::TestCloud;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The content type, without its parameters.
    pub(crate) content_type: String,
    /// The body.
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Calls REST as the holder of a token.
pub(crate) struct Caller<'a> {
    cloud: &'a TestCloud,
    token: &'a str,
}

impl<'a> Caller<'a> {
    /// The tests' admin.
    pub(crate) fn admin(cloud: &'a TestCloud) -> Self {
        Self { cloud, token: &cloud.token }
    }

    /// The holder of another token.
    pub(crate) fn with_token(cloud: &'a TestCloud, token: &'a str) -> Self {
        Self { cloud, token }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    /// POST.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    /// Any request.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let client = awc::Client::builder().timeout(Duration::from_secs(30)).finish();
        let mut request =
            client.request(method.parse().unwrap(), self.cloud.url(path)).no_decompress();
        if !self.token.is_empty() {
            request = request.bearer_auth(self.token);
        }
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let sent = match body {
            Some(body) => request.send_json(&body).await,
            None => request.send().await,
        };
        let mut response = sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let content_type =
            response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.body().limit(64 << 20).await.unwrap();
        Answer {
            status: response.status().as_u16(),
            content_type: content_type
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default()
                .to_owned(),
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }
}
