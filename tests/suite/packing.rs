//! Completions that share a prompt in a packed batch are what they are alone.

use dpo_data::{Ranking, Relation, TokenTree};
use dpo_model::{Decoder, HfConfig, HfFolder};
use dpo_train::token_logps;

use crate::{
    prepared_rows::trees,
    support::{cpu, golden},
};

fn model() -> Decoder {
    let folder = golden("runs/model");
    let config = HfConfig::read(&folder.join("config.json")).unwrap();
    Decoder::load(&config.decoder, &HfFolder::open(&folder).unwrap(), &cpu()).unwrap()
}

/// Each completion behind a prompt of its own.
fn apart(tree: &TokenTree) -> Vec<TokenTree> {
    let alone = |completion: &Vec<u32>| TokenTree {
        completions: vec![completion.clone()],
        relation: Relation::Demonstration,
        ..tree.clone()
    };
    tree.completions.iter().map(alone).collect()
}

/// Three layouts, the same numbers to the last bit: 16 pairs in one batch, a completion a batch, and all 32
/// completions in one batch, each with its own copy of the prompt.
/// Ranked lists of four behind one prompt, alone and all together: the same numbers to the last bit.
#[test]
fn a_packed_list_is_its_completions_one_by_one() {
    let (pairs, model) = (&trees("train_conv", 0)[..16], model());
    let list = |pairs: &[TokenTree]| TokenTree {
        completions: pairs.iter().flat_map(|pair| pair.completions.clone()).collect(),
        relation: Relation::Ranking(Ranking::in_order(4)),
        ..pairs[0].clone()
    };
    let lists: Vec<TokenTree> = pairs.chunks(2).map(list).collect();
    let packed = token_logps(&model, &lists.iter().collect::<Vec<_>>()).concat();
    let one_by_one: Vec<_> =
        lists.iter().flat_map(apart).flat_map(|tree| token_logps(&model, &[&tree]).concat()).collect();
    let bits = |rows: &[Vec<f32>]| rows.concat().iter().map(|logp| logp.to_bits()).collect::<Vec<_>>();
    assert_eq!(packed.len(), 32);
    assert_eq!(bits(&packed), bits(&one_by_one));
}

#[test]
fn packed_equals_one_by_one_equals_unshared() {
    let (trees, model) = (&trees("train_conv", 0)[..16], model());
    let packed = token_logps(&model, &trees.iter().collect::<Vec<_>>()).concat();
    let apart: Vec<TokenTree> = trees.iter().flat_map(apart).collect();
    let one_by_one: Vec<_> = apart.iter().flat_map(|tree| token_logps(&model, &[tree]).concat()).collect();
    let unshared = token_logps(&model, &apart.iter().collect::<Vec<_>>()).concat();
    let bits = |rows: &[Vec<f32>]| rows.concat().iter().map(|logp| logp.to_bits()).collect::<Vec<_>>();
    assert_eq!(packed.len(), 32);
    assert_eq!(bits(&packed), bits(&one_by_one), "packed and one by one");
    assert_eq!(bits(&packed), bits(&unshared), "packed and with the prompt repeated");
}
