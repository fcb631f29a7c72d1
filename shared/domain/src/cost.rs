//! What the cost of a task depends on: a name under which costs are learnt, and how many units of it a task has.

use crate::edit::EditSpec;
use crate::inversion::Inversion;

/// The kind of work and its amount. Cost in GPU milliseconds is learnt per unit, for each pack and class of workers.
#[derive(Clone, PartialEq, Debug)]
pub struct Cost {
    /// What is alike in cost per unit, for example `clip-nce/4` (four views a step).
    pub name: String,
    /// Optimiser steps, or 1 where there are none.
    pub units: f64,
}

impl Cost {
    fn new(name: impl Into<String>, units: f64) -> Self {
        Self { name: name.into(), units }
    }
}

impl EditSpec {
    /// The cost of one edit task.
    pub fn edit_cost(&self) -> Cost {
        let views = self.method.views().per_image();
        let search = if self.strength_search.is_some() { "+search" } else { "" };
        match self.method.descent() {
            Some(descent) => Cost::new(format!("{}/{views}{search}", self.method.name()), f64::from(descent.steps)),
            // one forward pass, however the mapper was trained
            None => Cost::new(format!("{}{search}", self.method.name()), 1.0),
        }
    }

    /// The cost of training the edit's mapper, for methods that have one.
    pub fn train_cost(&self) -> Option<Cost> {
        let views = self.method.views().per_image();
        let of = |t: crate::edit::Training<'_>| {
            Cost::new(format!("{}/{views}x{}", self.method.name(), t.batch), f64::from(t.steps))
        };
        self.method.training().map(of)
    }
}

impl Inversion {
    /// The cost of one inversion.
    pub fn cost(&self) -> Cost {
        let units = match self {
            Self::Encoder {} => 1,
            Self::Hybrid(refinement) => refinement.steps,
            Self::Optimise(projection) => projection.steps,
            Self::Pivotal(tuning) => tuning.pivot.steps + tuning.steps,
        };
        Cost::new(self.name(), f64::from(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_grows_with_steps_and_is_learnt_apart_for_other_views() {
        let edit = |method: &str| -> EditSpec {
            serde_json::from_str(&format!(r#"{{"text":"a face with elf ears","method":{method}}}"#)).unwrap()
        };
        let short = edit(r#"{"kind":"clip-nce","steps":10,"views":4}"#);
        assert_eq!((short.edit_cost().name.as_str(), short.edit_cost().units), ("clip-nce/4", 10.0));
        assert_eq!(short.train_cost(), None);
        assert_eq!(edit(r#"{"kind":"clip-nce","steps":10,"views":1}"#).edit_cost().name, "clip-nce/1");
        let mapper = edit(r#"{"kind":"cf-mapper","train_on":"t","steps":300,"batch":2}"#);
        assert_eq!((mapper.edit_cost().name.as_str(), mapper.edit_cost().units), ("cf-mapper", 1.0));
        assert_eq!(mapper.train_cost().map(|c| c.units), Some(300.0));
        assert_eq!(Inversion::default().cost(), Cost::new("encoder", 1.0));
    }
}
