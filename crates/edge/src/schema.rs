//! The JSON schema of the configuration, for editors: derived from the types that read it, so it says what they take.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};

use crate::config::{ByteCount, Config, HostPattern, ScopedToken, TimeSpan, TokenConfig, TokenHash};
use crate::limits::WEIGHT_MAX;
use crate::name::Name;
use crate::outbound::{Destination, PrivateDestination};

/// The schema, as text.
pub fn schema() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Config>();
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

/// An address with a port.
pub(crate) struct Address;

/// A tenant's weight.
pub(crate) struct WeightNumber;

macro_rules! schema_of {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema_of!(Address, "Address", { "type": "string", "examples": ["127.0.0.1:8080", "[::]:8080"] });
schema_of!(WeightNumber, "Weight", { "type": "integer", "minimum": 1, "maximum": WEIGHT_MAX, "default": 1 });
schema_of!(Name, "Name", { "type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" });
schema_of!(HostPattern, "Host", {
    "type": "string",
    "pattern": "^(\\*\\.)?[^*/:@?#]+$|^\\[[^\\]]+\\]$",
    "examples": ["hello.example", "*.example"]
});
schema_of!(TokenHash, "TokenHash", { "type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$" });
schema_of!(ByteCount, "ByteCount", { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)$", "examples": ["64MiB"] });
schema_of!(TimeSpan, "TimeSpan", { "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$", "examples": ["300ms"] });

impl JsonSchema for TokenConfig {
    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (scoped, hash) = (generator.subschema_for::<ScopedToken>(), generator.subschema_for::<TokenHash>());
        json_schema!({ "anyOf": [scoped, hash] })
    }
}

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let private = generator.subschema_for::<PrivateDestination>();
        let examples = ["https://api.example.com", "https://*.example.com", "http://10.0.0.7:8080"];
        json_schema!({ "anyOf": [private, { "type": "string", "pattern": "^https?://[^/?#@]+$", "examples": examples }] })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&schema()).unwrap()
    }

    /// What a reference, perhaps one of several choices, stands for.
    fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
        let choices = ["anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
        let schema = choices.and_then(|all| all.iter().find(|choice| choice["$ref"].is_string())).unwrap_or(schema);
        match schema["$ref"].as_str() {
            Some(name) => resolved(document, document.pointer(&name[1..]).unwrap()),
            None => schema,
        }
    }

    /// The schema of a table: a key after the other, `*` for any, `[]` for items.
    fn table<'d>(document: &'d Value, path: &[&str]) -> &'d Value {
        path.iter().fold(document, |schema, key| {
            let schema = resolved(document, schema);
            let next = match *key {
                "*" => schema["patternProperties"].as_object().and_then(|all| all.values().next()),
                "[]" => schema.get("items"),
                key => schema["properties"].get(key),
            };
            resolved(document, next.unwrap_or_else(|| panic!("{key} of {path:?} is not in {schema}")))
        })
    }

    #[test]
    fn every_key_that_is_read_is_in_the_schema_and_no_other() {
        let document = document();
        let tls = "[tls]\nlisten = \"127.0.0.1:1\"\n";
        for (path, text) in [
            (&[][..], "none-such = 1".to_string()),
            (&["tls"], format!("{tls}certificates = []\nnone-such = 1")),
            (&["tls", "certificates", "[]"], format!("{tls}certificates = [{{ none-such = 1 }}]")),
            (&["traces"], "[traces]\nnone-such = 1".to_string()),
            (&["limits"], "[limits]\nnone-such = 1".to_string()),
            (&["tokens", "[]"], "tokens = [{ none-such = 1 }]".to_string()),
            (&["tenants", "*"], "[tenants.a]\nnone-such = 1".to_string()),
            (&["tenants", "*", "tokens", "[]"], "[tenants.a]\ntokens = [{ none-such = 1 }]".to_string()),
            (&["tenants", "*", "limits"], "[tenants.a]\nlimits = { none-such = 1 }".to_string()),
        ] {
            let mistake = Config::parse(&text, "edge.toml").expect_err(&text).to_string();
            // serde lists what it knows, in the order of the table that the reader goes by.
            let (_, known) =
                mistake.split_once("unknown field `none-such`, expected ").unwrap_or_else(|| panic!("{mistake}"));
            let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
            let schema = table(&document, path);
            let described: BTreeSet<&str> =
                schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(described, known, "{path:?}");
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{path:?} takes no other");
        }
    }

    #[test]
    fn the_schema_in_deploy_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/edge.schema.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema(), "`selvedge serve --print-schema` writes it");
    }
}
