use super::*;
use std::path::Path;

type Rows = Vec<(Vec<u32>, Vec<Vec<u32>>)>;

fn rows(n: u32) -> Rows {
    (0..n).map(|i| (vec![1, i], vec![vec![i + 2; 3], vec![i + 3; 1 + i as usize % 4]])).collect()
}

fn scope() -> CacheScope {
    CacheScope::new("a model", "f32")
}

fn keys(rows: &Rows) -> Vec<RowKey> {
    let key = |(prompt, completions): &(Vec<u32>, Vec<Vec<u32>>)| {
        scope().row_key(prompt, completions.iter().map(Vec::as_slice))
    };
    rows.iter().map(key).collect()
}

/// Log-probs that depend on the row, so that a mix-up is seen.
fn logps((prompt, completions): &(Vec<u32>, Vec<Vec<u32>>)) -> Vec<Vec<f32>> {
    let one = |ids: &Vec<u32>| ids.iter().map(|&id| -(id as f32) / 3.0 - prompt[1] as f32).collect();
    completions.iter().map(one).collect()
}

fn open(dir: &Path, rows: &Rows) -> (ReferenceCache, Lookup) {
    ReferenceCache::open(dir, &scope(), &keys(rows)).unwrap()
}

fn fill(cache: &mut ReferenceCache, rows: &Rows, misses: &[usize]) {
    let keys = keys(rows);
    for &row in misses {
        cache.insert(keys[row], &logps(&rows[row])).unwrap();
    }
    cache.sync().unwrap();
}

#[track_caller]
fn assert_all_there(cache: &mut ReferenceCache, rows: &Rows) {
    for (key, row) in keys(rows).iter().zip(rows) {
        assert_eq!(cache.get(key).unwrap(), Some(logps(row)));
    }
}

fn shards(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join(scope().folder());
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Makes this the only shard, as a process that has ended leaves it.
fn set_shard(dir: &Path, bytes: &[u8]) {
    for path in shards(dir) {
        fs::remove_file(path).unwrap();
    }
    fs::write(dir.join(scope().folder()).join(format!("shard-x{SHARD}")), bytes).unwrap();
}

#[test]
fn what_was_inserted_is_there_at_once_and_in_the_next_process() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(20));
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!(lookup, Lookup { hits: 0, misses: (0..20).collect(), damaged: 0 });
    assert_eq!(cache.get(&keys(&rows)[0]).unwrap(), None);
    fill(&mut cache, &rows, &lookup.misses);
    assert_all_there(&mut cache, &rows);
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!(lookup, Lookup { hits: 20, misses: vec![], damaged: 0 });
    assert_all_there(&mut cache, &rows);
    assert_eq!(shards(dir.path()).len(), 1);
}

#[test]
fn an_interrupted_pass_goes_on_and_a_changed_row_is_computed_alone() {
    let (dir, mut rows) = (tempfile::tempdir().unwrap(), rows(10));
    let (mut cache, _) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &[0, 1, 2, 3]);
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, &lookup.misses[..]), (4, &[4, 5, 6, 7, 8, 9][..]));
    fill(&mut cache, &rows, &lookup.misses);
    rows[2].1[0].push(77);
    let (_, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, lookup.misses), (9, vec![2]));
}

#[test]
fn equal_rows_are_computed_once() {
    let (dir, mut rows) = (tempfile::tempdir().unwrap(), rows(3));
    rows.extend(rows.clone());
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!(lookup.misses, [0, 1, 2]);
    fill(&mut cache, &rows, &lookup.misses);
    assert_eq!(open(dir.path(), &rows).1.hits, 6);
}

#[test]
fn keys_tell_models_formats_and_rows_apart() {
    let ids: [&[u32]; 2] = [&[1, 2], &[3]];
    let of = |scope: CacheScope, prompt: &[u32], completions: &[&[u32]]| {
        scope.row_key(prompt, completions.iter().copied())
    };
    let all = [
        of(scope(), &[0], &ids),
        of(CacheScope::new("another", "f32"), &[0], &ids),
        of(CacheScope::new("a model", "bf16"), &[0], &ids),
        of(CacheScope::new("a modelf", "32"), &[0], &ids),
        of(scope(), &[0, 1], &[&[2], &[3]]),
        of(scope(), &[0], &[&[1], &[2, 3]]),
        of(scope(), &[0], &[&[3], &[1, 2]]),
        of(scope(), &[0], &[&[1, 2, 3]]),
        of(scope(), &[0], &[&[1, 2], &[3], &[]]),
    ];
    let distinct: std::collections::HashSet<_> = all.into_iter().collect();
    assert_eq!(distinct.len(), all.len());
}

/// Two processes that both missed everything, writing at the same time.
#[test]
fn two_writers_at_once_do_not_harm_each_other() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(12));
    let ((mut one, _), (mut two, _)) = (open(dir.path(), &rows), open(dir.path(), &rows));
    for row in 0..12 {
        fill(&mut one, &rows, &[row]);
        fill(&mut two, &rows, &[11 - row]);
    }
    assert_all_there(&mut one, &rows);
    assert_all_there(&mut two, &rows);
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, lookup.damaged), (12, 0));
    assert_all_there(&mut cache, &rows);
    assert_eq!(shards(dir.path()).len(), 2);
}

/// Every byte of the shard: the entry it is in is recomputed, the others are still trusted, none is wrong, and the
/// next process finds no damage any more.
#[test]
fn any_flipped_byte_costs_its_own_entry_alone() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(4));
    let (mut cache, lookup) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &lookup.misses);
    let bytes = fs::read(&shards(dir.path())[0]).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        set_shard(dir.path(), &flipped);
        let (mut cache, lookup) = open(dir.path(), &rows);
        assert_eq!((lookup.hits, lookup.damaged, lookup.misses.len()), (3, 1, 1), "byte {at}");
        for (row, key) in keys(&rows).iter().enumerate() {
            let expected = (!lookup.misses.contains(&row)).then(|| logps(&rows[row]));
            assert_eq!(cache.get(key).unwrap(), expected);
        }
        drop(cache);
        let (_, again) = open(dir.path(), &rows);
        assert_eq!(again, Lookup { damaged: 0, ..lookup });
    }
}

/// What looks torn may be an entry that another process is writing.
#[test]
fn a_shard_that_is_being_written_is_not_repaired() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(2));
    let (mut cache, _) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &[0]);
    let writer = cache.writer.as_mut().unwrap();
    let entry = record::encode(&keys(&rows)[1], &logps(&rows[1]));
    writer.append(&entry[..50]).unwrap();
    let (_, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, lookup.damaged), (1, 1));
    cache.writer.as_mut().unwrap().append(&entry[50..]).unwrap();
    let (_, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, lookup.damaged), (2, 0));
}

#[test]
fn a_shard_that_was_cut_anywhere_keeps_its_whole_entries_and_is_completed() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(3));
    let (mut cache, lookup) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &lookup.misses);
    let bytes = fs::read(&shards(dir.path())[0]).unwrap();
    let end = |end: &mut usize, row| {
        *end += record::encode(&RowKey([0; 32]), &logps(row)).len();
        Some(*end)
    };
    let ends: Vec<usize> = rows.iter().scan(0, end).collect();
    for cut in 0..bytes.len() {
        set_shard(dir.path(), &bytes[..cut]);
        let (_, lookup) = open(dir.path(), &rows);
        let n_whole = ends.iter().filter(|&&end| end <= cut).count();
        let is_torn = cut > 0 && !ends.contains(&cut);
        assert_eq!((lookup.hits, lookup.damaged), (n_whole, usize::from(is_torn)), "cut at {cut}");
    }
    let (mut cache, lookup) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &lookup.misses);
    assert_eq!(open(dir.path(), &rows).1.hits, 3);
}

#[test]
fn an_entry_that_changes_under_a_running_process_is_an_error() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(1));
    let (mut cache, lookup) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &lookup.misses);
    let path = shards(dir.path()).remove(0);
    let (mut cache, _) = open(dir.path(), &rows);
    let mut bytes = fs::read(&path).unwrap();
    bytes[70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(cache.get(&keys(&rows)[0]), Err(TrainError::CacheChanged { .. })));
    fs::write(&path, &bytes[..20]).unwrap();
    assert!(matches!(cache.get(&keys(&rows)[0]), Err(TrainError::CacheChanged { .. })));
}

/// A header that promises far more than there is takes no more memory than there is.
#[test]
fn junk_is_damage_and_takes_no_memory() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(2));
    let (mut cache, lookup) = open(dir.path(), &rows);
    fill(&mut cache, &rows, &lookup.misses);
    let folder = dir.path().join(scope().folder());
    let huge = [&record::MAGIC[..], &u64::MAX.to_le_bytes(), &[7; 100]].concat();
    let long = [&record::MAGIC[..], &record::MAX_BODY.to_le_bytes(), &[7; 100]].concat();
    let many = record::MAGIC.repeat(5000);
    for (name, junk) in [("a", vec![0; 5000]), ("b", huge), ("c", long), ("d", many), ("e", vec![])] {
        fs::write(folder.join(format!("shard-{name}{SHARD}")), junk).unwrap();
    }
    fs::write(folder.join("notes.txt"), "not a shard").unwrap();
    let (mut cache, lookup) = open(dir.path(), &rows);
    assert_eq!((lookup.hits, lookup.misses.len()), (2, 0));
    assert!(lookup.damaged >= 4);
    assert_all_there(&mut cache, &rows);
}

#[test]
fn what_is_no_number_is_not_kept() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), rows(1));
    let (mut cache, _) = open(dir.path(), &rows);
    let error = cache.insert(keys(&rows)[0], &[vec![-1.0], vec![-1.0, f32::NAN]]).unwrap_err();
    assert!(matches!(error, TrainError::ReferenceNotFinite { completion: 1, token: 1, .. }));
    assert!(shards(dir.path()).is_empty());
}

/// All values an `f32` can have come back bit for bit, and rows without tokens are rows.
#[test]
fn values_come_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope();
    let key = scope.row_key(&[], [&[][..]]);
    let values = vec![vec![-0.0, f32::MIN_POSITIVE / 8.0, -1e38, -3.402_823_5e38], vec![]];
    let (mut cache, _) = ReferenceCache::open(dir.path(), &scope, &[key]).unwrap();
    cache.insert(key, &values).unwrap();
    let found = cache.get(&key).unwrap().unwrap();
    let bits = |lists: &[Vec<f32>]| {
        lists.iter().map(|l| l.iter().map(|x| x.to_bits()).collect()).collect::<Vec<Vec<u32>>>()
    };
    assert_eq!(bits(&found), bits(&values));
}
