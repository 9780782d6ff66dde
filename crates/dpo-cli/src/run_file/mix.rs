//! `loss.mix`: several losses at once.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::sections::LossSection;

/// A loss of a mixture, with its weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixPart {
    /// Its weight in the sum.
    pub(crate) weight: f64,
    /// Its kind and settings.
    pub(crate) loss: LossSection,
}

/// `kind = "…"`, `weight = …` and the settings of the loss in one table.
impl<'de> Deserialize<'de> for MixPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_table(toml::Table::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for MixPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = toml::Table::try_from(&self.loss).map_err(S::Error::custom)?;
        table.insert("weight".to_owned(), self.weight.into());
        table.serialize(serializer)
    }
}

/// `KIND=WEIGHT`, and settings after commas.
impl FromStr for MixPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut table = toml::Table::new();
        for (idx, setting) in text.split(',').enumerate() {
            let expected = "expected KIND=WEIGHT or KIND=WEIGHT,SETTING=VALUE";
            let (name, value) = setting.split_once('=').ok_or(expected)?;
            let (name, value) = (name.trim(), value.trim());
            let value = match value.parse::<f64>() {
                Ok(number) => toml::Value::Float(number),
                Err(_) => toml::Value::String(value.to_owned()),
            };
            if idx == 0 {
                table.insert("kind".to_owned(), toml::Value::String(name.to_owned()));
            }
            let name = if idx == 0 { "weight" } else { name };
            if table.insert(name.to_owned(), value).is_some() {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Self::of_table(table)
    }
}

impl MixPart {
    fn of_table(mut table: toml::Table) -> Result<Self, String> {
        let weight = match table.remove("weight") {
            None => 1.0,
            Some(toml::Value::Float(weight)) => weight,
            Some(toml::Value::Integer(weight)) => weight as f64,
            Some(other) => return Err(format!("`weight` is {}; expected a number", other.type_str())),
        };
        if !table.contains_key("kind") {
            return Err("`kind` is missing; name the loss".to_owned());
        }
        let loss = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        Ok(Self { weight, loss })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::run_file::choices::LossKind;

    #[test]
    fn a_part_is_a_flag_and_a_table() {
        let flag: MixPart = "sigmoid=0.8, beta=0.2".parse().unwrap();
        let table: MixPart = toml::from_str("kind = \"sigmoid\"\nweight = 0.8\nbeta = 0.2").unwrap();
        assert_eq!(flag, table);
        assert_eq!((flag.weight, flag.loss.kind, flag.loss.beta), (0.8, Some(LossKind::Sigmoid), Some(0.2)));
        let again: MixPart = toml::from_str(&toml::to_string(&table).unwrap()).unwrap();
        assert_eq!(again, table);
        assert_eq!(toml::from_str::<MixPart>("kind = \"sft\"").unwrap().weight, 1.0);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["sigmoid", "sigmoid=x", "dpo=1", "sigmoid=1,bta=2", "sigmoid=1,beta=2,beta=3", ""] {
            assert!(text.parse::<MixPart>().is_err(), "{text}");
        }
        assert!(toml::from_str::<MixPart>("weight = 1.0").is_err());
    }
}
