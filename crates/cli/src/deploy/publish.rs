//! Brings the server to what is wanted: create or update, publish a version, point the alias `live` at
//! it, give it a URL. Each step looks at what is there, so a deploy may be repeated at any point.
//!
//! Requests go through the alias, so nobody sees a half-updated function: they run the old version until
//! the alias moves and the new one afterwards.

use std::collections::BTreeMap;

use serde::Serialize;
use types::settings;

use super::{Wanted, address};
use crate::api::{Error, FunctionConfiguration, Lambda, NewFunction};
use crate::package::Zip;

/// The alias that URLs lead to.
pub const LIVE: &str = "live";

/// What a deploy changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The function is new.
    Created,
    /// Another version is live, or a setting changed.
    Updated,
    /// Everything was as wanted.
    Unchanged,
}

/// What a deploy came to.
#[derive(Debug, Serialize)]
pub struct Deployed {
    /// The function.
    pub name: String,
    /// What changed.
    pub change: Change,
    /// The version that is live.
    pub version: String,
    /// The version that was live before.
    pub previous: Option<String>,
    /// Where it is reached by name.
    pub url: String,
    /// Where it is reached in AWS's spelling.
    pub function_url: String,
}

/// One deploy in progress.
struct Publication<'a> {
    lambda: &'a Lambda,
    wanted: &'a Wanted,
    changed: bool,
}

/// Deploys a package.
pub async fn publish(
    lambda: &Lambda,
    wanted: &Wanted,
    zip: &Zip,
    existing: Option<(&FunctionConfiguration, &BTreeMap<String, String>)>,
) -> Result<Deployed, Error> {
    let mut publication = Publication { lambda, wanted, changed: false };
    let mut late_tags = Tags::default();
    match existing {
        Some((function, tags)) => {
            let named_by_tag = wanted.settings.runtime.starts_with("provided");
            let (early, late) = Tags::between(tags, &wanted.tags).split(named_by_tag);
            late_tags = late;
            publication.update(function, zip).await?;
            publication.tag(&function.function_arn, &early).await?;
        }
        None => publication.create(zip).await?,
    }
    let published = lambda.publish_version(&wanted.name).await?;
    let previous = publication.point_alias(&published.version).await?;
    if let Some((function, _)) = existing {
        publication.tag(&function.function_arn, &late_tags).await?;
    }
    let function_url = publication.url().await?;
    let change = match (existing.is_none(), publication.changed) {
        (true, _) => Change::Created,
        (false, true) => Change::Updated,
        (false, false) => Change::Unchanged,
    };
    Ok(Deployed {
        name: wanted.name.clone(),
        change,
        version: published.version,
        previous,
        url: address::web_address(&wanted.name, &function_url),
        function_url,
    })
}

// === impl Publication ===

impl Publication<'_> {
    async fn create(&mut self, zip: &Zip) -> Result<(), Error> {
        let new = NewFunction {
            name: &self.wanted.name,
            code: &zip.bytes,
            settings: &self.wanted.settings,
            tags: &self.wanted.tags,
        };
        self.changed = true;
        self.lambda.create_function(&new).await.map(|_| ())
    }

    async fn update(&mut self, function: &FunctionConfiguration, zip: &Zip) -> Result<(), Error> {
        if function.code_sha256 != zip.sha256 {
            self.lambda.update_code(&self.wanted.name, &zip.bytes).await?;
            self.changed = true;
        }
        if !self.wanted.is_configured(function) {
            self.lambda.update_configuration(&self.wanted.name, &self.wanted.settings).await?;
            self.changed = true;
        }
        Ok(())
    }

    async fn tag(&mut self, arn: &str, tags: &Tags) -> Result<(), Error> {
        if !tags.set.is_empty() {
            self.lambda.tag(arn, &tags.set).await?;
            self.changed = true;
        }
        if !tags.unset.is_empty() {
            self.lambda.untag(arn, &tags.unset).await?;
            self.changed = true;
        }
        Ok(())
    }

    /// Points `live` at a version; the version it pointed at before, if that is another.
    async fn point_alias(&mut self, version: &str) -> Result<Option<String>, Error> {
        let name = &self.wanted.name;
        let before = self.lambda.find_alias(name, LIVE).await?.map(|alias| alias.function_version);
        match &before {
            Some(before) if before == version => return Ok(None),
            Some(_) => self.lambda.update_alias(name, LIVE, version).await?,
            None => self.lambda.create_alias(name, LIVE, version).await?,
        }
        self.changed = true;
        Ok(before)
    }

    async fn url(&mut self) -> Result<String, Error> {
        let name = &self.wanted.name;
        if let Some(url) = self.lambda.find_url(name, LIVE).await? {
            return Ok(url);
        }
        let url = self.lambda.create_url(name, LIVE).await?;
        self.changed = true;
        match self.lambda.allow_url(name, LIVE).await {
            // The statement outlived an earlier URL: what it allows is allowed.
            Err(Error::Service(refused)) if refused.code == "ResourceConflictException" => Ok(url),
            Err(error) => Err(error),
            Ok(()) => Ok(url),
        }
    }
}

/// Tags to set and to remove.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tags {
    set: BTreeMap<String, String>,
    unset: Vec<String>,
}

// === impl Tags ===

impl Tags {
    fn between(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Self {
        let set = to.iter().filter(|(tag, value)| from.get(*tag) != Some(*value));
        Self {
            set: set.map(|(tag, value)| (tag.clone(), value.clone())).collect(),
            unset: from.keys().filter(|tag| !to.contains_key(*tag)).cloned().collect(),
        }
    }

    /// What is sent before the alias moves, and what after. Tags hold for all versions at once, and a
    /// version whose handler names a file serves itself whatever they say. So "serves itself" is said only
    /// once no application of the old kind is live, and taken back before one is live again; but it is said
    /// first where only the tag tells such a program from one that speaks the Runtime API.
    fn split(mut self, named_by_tag: bool) -> (Self, Self) {
        let mut late = Self::default();
        if !named_by_tag && self.set.get(settings::SERVER).is_some_and(|server| server == "own") {
            late.set.extend(self.set.remove_entry(settings::SERVER));
        }
        (self, late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_differences_are_sent_and_the_own_server_is_said_last() {
        let from = tags(&[("a", "1"), ("b", "2"), (settings::SERVER, "own")]);
        let (early, late) = Tags::between(&from, &tags(&[("a", "1"), ("b", "3")])).split(false);
        assert_eq!((early.set, early.unset), (tags(&[("b", "3")]), vec![settings::SERVER.to_owned()]));
        assert_eq!(late, Tags::default());
        let own = || Tags::between(&tags(&[]), &tags(&[(settings::SERVER, "own")]));
        assert_eq!(own().split(false), (Tags::default(), own()));
        assert_eq!(own().split(true), (own(), Tags::default()));
    }
}
