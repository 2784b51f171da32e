use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn window(low: u64, units: &[u64]) -> Window {
    let mut window = Window::new();
    for &unit in units {
        window.insert(UnitNumber(low), UnitNumber(unit)).unwrap();
    }
    window
}

fn numbers(window: &Window) -> BTreeSet<u64> {
    window.iter().map(|unit| unit.0).collect()
}

#[test]
fn the_whole_span_fits_in_the_column_and_one_more_does_not() {
    let low = UnitNumber(100);
    let mut full = Window::new();
    for unit in 101..=100 + Window::SPAN {
        full.insert(low, UnitNumber(unit)).unwrap();
    }
    assert_eq!(full.len(), Window::SPAN);
    assert_eq!(full.encode(low).len(), 2049);
    assert_eq!(Window::decode(&full.encode(low), low), Ok(full.clone()));
    let unit = UnitNumber(101 + Window::SPAN);
    assert_eq!(full.insert(low, unit), Err(OutOfWindow { unit, low }));
}

#[test]
fn a_unit_that_the_watermark_covers_needs_no_bit() {
    assert!(window(10, &[3, 10]).is_empty());
}

#[test]
fn bytes_that_are_no_window_are_refused() {
    assert_eq!(Window::decode(&[], UnitNumber(7)), Ok(Window::new()));
    assert_eq!(Window::decode(&[2, 1], UnitNumber(7)), Err(CorruptWindow::Format { format: 2 }));
    assert_eq!(Window::decode(&[1; 2050], UnitNumber(7)), Err(CorruptWindow::TooLong { n_bytes: 2050 }));
    let low = UnitNumber(u64::MAX - 2);
    assert_eq!(Window::decode(&[1, 0b111], low), Err(CorruptWindow::Overflow { low }));
}

#[test]
fn the_format_is_pinned_because_rows_outlive_programs() {
    assert_eq!(window(5, &[6, 8, 22]).encode(UnitNumber(5)), [1, 0b101, 0, 1]);
}

#[test]
fn display_shows_ranges() {
    assert_eq!(window(0, &[5, 6, 7, 9, 64, 65]).to_string(), "5-7,9,64-65");
    assert_eq!(Window::new().to_string(), "");
}

proptest! {
    #[test]
    fn a_window_is_a_set(low in 0..1000_u64, units in prop::collection::btree_set(1..900_u64, 0..80),
                         more in prop::collection::btree_set(1..900_u64, 0..80), cut in 0..2000_u64) {
        let above: Vec<u64> = units.iter().map(|unit| low + unit).collect();
        let other: Vec<u64> = more.iter().map(|unit| low + unit).collect();
        let a = window(low, &above);
        let b = window(low, &other);
        let model: BTreeSet<u64> = above.iter().copied().collect();

        prop_assert_eq!(numbers(&a), model.clone());
        prop_assert_eq!(a.len(), model.len() as u64);
        prop_assert_eq!(a.first().map(|unit| unit.0), model.first().copied());
        prop_assert_eq!(a.last().map(|unit| unit.0), model.last().copied());
        prop_assert_eq!(Window::decode(&a.encode(UnitNumber(low)), UnitNumber(low)), Ok(a.clone()));

        let mut both = a.clone();
        both.union(&b);
        prop_assert_eq!(numbers(&both), numbers(&a).union(&numbers(&b)).copied().collect::<BTreeSet<_>>());
        prop_assert!(both.contains_all(&a) && both.contains_all(&b));
        prop_assert_eq!(a.contains_all(&b), numbers(&b).is_subset(&model));

        let mut kept = a.clone();
        kept.drop_up_to(UnitNumber(cut));
        prop_assert_eq!(numbers(&kept), model.iter().copied().filter(|unit| *unit > cut).collect::<BTreeSet<_>>());
        prop_assert!((0..2000).all(|unit| a.contains(UnitNumber(unit)) == model.contains(&unit)));
    }

    #[test]
    fn writing_relative_to_a_higher_watermark_keeps_what_is_above_it(
        units in prop::collection::btree_set(1..900_u64, 0..80), low in 0..900_u64
    ) {
        let all = window(0, &units.iter().copied().collect::<Vec<_>>());
        let mut above = all.clone();
        above.drop_up_to(UnitNumber(low));
        prop_assert_eq!(Window::decode(&all.encode(UnitNumber(low)), UnitNumber(low)), Ok(above));
    }
}
