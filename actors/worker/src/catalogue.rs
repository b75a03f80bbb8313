//! The apps that can be deployed. An app's types end here: behind the catalogue there are only
//! names, JSON and [`RunningApp`]s, so that anyone's app can be added to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use memcloud_domain::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    About, EnergyAccounting, EnergyApp, External, ExternalRules, LimitWatch, LoadPriority, Outcome,
    PeakShaving, Schedule, SelfConsumption, View,
};

/// Why an app cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// No app of that name.
    #[error("there is no app \"{name}\"; there are {known}")]
    UnknownApp {
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A configuration that the app does not take.
    #[error("the configuration of {app} is not valid: {reason}")]
    InvalidConfiguration {
        /// Which app.
        app: &'static str,
        /// What is wrong, and what it may be.
        reason: String,
    },
    /// A saved state that this version of the app cannot read.
    #[error("the saved state of {app} cannot be read")]
    UnreadableState {
        /// Which app.
        app: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A state that cannot be saved.
    #[error("the state of {app} cannot be saved")]
    UnsavableState {
        /// Which app.
        app: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// An app at work, with its types erased.
pub trait RunningApp: Send {
    /// Takes what is new.
    fn step(&mut self, now: Timestamp, view: &View) -> Outcome;

    /// Its state, to be kept.
    ///
    /// # Errors
    /// [`AppError::UnsavableState`].
    fn save(&self) -> Result<Value, AppError>;
}

/// What people are told of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppDescription {
    /// What it says of itself.
    #[serde(flatten)]
    pub about: About,
    /// The JSON Schema of its configuration.
    pub schema: Value,
    /// The configuration of someone who sets nothing.
    pub default_configuration: Value,
}

/// Makes one kind of app.
pub trait AppFactory: Send + Sync {
    /// What it says of itself.
    fn about(&self) -> About;

    /// What people are told of it.
    fn describe(&self) -> AppDescription;

    /// Checks a configuration and fills in what it leaves out.
    ///
    /// # Errors
    /// [`AppError::InvalidConfiguration`].
    fn validate(&self, configuration: &Value) -> Result<Value, AppError>;

    /// Makes an app that goes on from a saved state, or begins where that is null.
    ///
    /// # Errors
    /// [`AppError::InvalidConfiguration`], [`AppError::UnreadableState`].
    fn start(&self, configuration: &Value, state: &Value) -> Result<Box<dyn RunningApp>, AppError>;

    /// What a program outside may do with a job of a valid configuration; absent: the app runs here,
    /// which is what most do.
    fn external(&self, _configuration: &Value) -> Option<ExternalRules> {
        None
    }
}

struct Typed<A>(std::marker::PhantomData<fn() -> A>);

struct Running<A: EnergyApp> {
    app: A,
    state: A::State,
}

impl<A: EnergyApp> RunningApp for Running<A> {
    fn step(&mut self, now: Timestamp, view: &View) -> Outcome {
        self.app.step(&mut self.state, now, view)
    }

    fn save(&self) -> Result<Value, AppError> {
        serde_json::to_value(&self.state)
            .map_err(|source| AppError::UnsavableState { app: A::ABOUT.name, source })
    }
}

impl<A: EnergyApp> Typed<A> {
    fn parse(configuration: &Value) -> Result<A::Configuration, AppError> {
        // Who sets nothing may say so in either way.
        let given = if configuration.is_null() {
            &Value::Object(serde_json::Map::new())
        } else {
            configuration
        };
        serde_json::from_value(given.clone()).map_err(|error| AppError::InvalidConfiguration {
            app: A::ABOUT.name,
            reason: error.to_string(),
        })
    }

    fn make(configuration: A::Configuration) -> Result<A, AppError> {
        A::new(configuration)
            .map_err(|reason| AppError::InvalidConfiguration { app: A::ABOUT.name, reason })
    }
}

impl<A: EnergyApp> AppFactory for Typed<A> {
    fn about(&self) -> About {
        A::ABOUT
    }

    fn describe(&self) -> AppDescription {
        AppDescription {
            about: A::ABOUT,
            schema: schemars::schema_for!(A::Configuration).to_value(),
            default_configuration: serde_json::to_value(A::Configuration::default())
                .unwrap_or(Value::Null),
        }
    }

    fn validate(&self, configuration: &Value) -> Result<Value, AppError> {
        let parsed = Self::parse(configuration)?;
        let whole = serde_json::to_value(&parsed).map_err(|error| {
            AppError::InvalidConfiguration { app: A::ABOUT.name, reason: error.to_string() }
        })?;
        Self::make(parsed)?;
        Ok(whole)
    }

    fn start(&self, configuration: &Value, state: &Value) -> Result<Box<dyn RunningApp>, AppError> {
        let app = Self::make(Self::parse(configuration)?)?;
        let state = if state.is_null() {
            A::State::default()
        } else {
            serde_json::from_value(state.clone())
                .map_err(|source| AppError::UnreadableState { app: A::ABOUT.name, source })?
        };
        Ok(Box::new(Running { app, state }))
    }
}

/// The apps that can be deployed, by name.
#[derive(Clone, Default)]
pub struct AppCatalogue {
    apps: BTreeMap<&'static str, Arc<dyn AppFactory>>,
}

impl AppCatalogue {
    /// An empty catalogue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The apps that come with MEMCloud.
    #[must_use]
    pub fn standard() -> Self {
        let mut standard = Self::new()
            .with::<EnergyAccounting>()
            .with::<LimitWatch>()
            .with::<LoadPriority>()
            .with::<PeakShaving>()
            .with::<Schedule>()
            .with::<SelfConsumption>();
        standard.add(Arc::new(External));
        standard
    }

    /// Adds an app; one of the same name is replaced.
    #[must_use]
    pub fn with<A: EnergyApp>(mut self) -> Self {
        self.add(Arc::new(Typed::<A>(std::marker::PhantomData)));
        self
    }

    /// Adds an app that brings its own factory; one of the same name is replaced.
    pub fn add(&mut self, factory: Arc<dyn AppFactory>) {
        self.apps.insert(factory.about().name, factory);
    }

    /// The app of a name.
    ///
    /// # Errors
    /// [`AppError::UnknownApp`].
    pub fn get(&self, name: &str) -> Result<&Arc<dyn AppFactory>, AppError> {
        self.apps.get(name).ok_or_else(|| AppError::UnknownApp {
            name: name.chars().take(80).collect(),
            known: self.apps.keys().copied().collect::<Vec<_>>().join(", "),
        })
    }

    /// Checks a configuration for an app and fills in what it leaves out: to be done before a job is
    /// kept.
    ///
    /// # Errors
    /// [`AppError::UnknownApp`], [`AppError::InvalidConfiguration`].
    pub fn validate(&self, name: &str, configuration: &Value) -> Result<Value, AppError> {
        self.get(name)?.validate(configuration)
    }

    /// What people are told of the apps, by name.
    pub fn describe(&self) -> impl Iterator<Item = AppDescription> + '_ {
        self.apps.values().map(|factory| factory.describe())
    }
}

impl std::fmt::Debug for AppCatalogue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.apps.keys()).finish()
    }
}
