//! How a total is shared among those who can each bear only so much.

/// Shares a total that is not negative, in proportion to the weights, and to nobody more than their
/// cap; what one cannot bear, the others take in proportion. The shares add up to the total, or to all
/// caps where these are less. Water-filling, in the order of cap per weight.
#[must_use]
pub fn share(total: f64, caps_and_weights: &[(f64, f64)]) -> Vec<f64> {
    let mut order: Vec<(f64, usize, f64, f64)> = caps_and_weights
        .iter()
        .enumerate()
        .filter(|(_, (cap, weight))| *cap > 0.0 && *weight > 0.0)
        .map(|(index, (cap, weight))| (cap / weight, index, *cap, *weight))
        .collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut shares = vec![0.0; caps_and_weights.len()];
    let mut left = total.max(0.0);
    let mut weights: f64 = order.iter().map(|(.., weight)| weight).sum();
    for (_, index, cap, weight) in order {
        let part = if weights > weight { left * weight / weights } else { left };
        let given = part.min(cap);
        if let Some(share) = shares.get_mut(index) {
            *share = given;
        }
        left = (left - given).max(0.0);
        weights -= weight;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_cannot_bear_the_others_take() {
        assert_eq!(
            share(600.0, &[(100.0, 1.0), (1_000.0, 1.0), (1_000.0, 1.0)]),
            [100.0, 250.0, 250.0]
        );
        assert_eq!(share(300.0, &[(1_000.0, 2.0), (1_000.0, 1.0)]), [200.0, 100.0]);
        assert_eq!(share(300.0, &[(0.0, 1.0), (50.0, 0.0)]), [0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_nobody_gets_more_than_they_bear(
            total in 0.0..1e6_f64,
            units in prop::collection::vec((0.0..1e4_f64, 0.1..100.0_f64), 0..60),
        ) {
            let shares = share(total, &units);
            let most: f64 = units.iter().map(|(cap, _)| cap).sum();
            let sum: f64 = shares.iter().sum();
            prop_assert!((sum - total.min(most)).abs() < 1e-6 * (1.0 + total), "{sum}");
            for (given, (cap, _)) in shares.iter().zip(&units) {
                prop_assert!((0.0..=*cap).contains(given));
            }
            // Fair: whoever gets less per weight than another is at their cap.
            for (one, (cap, weight)) in shares.iter().zip(&units) {
                for (other, (_, other_weight)) in shares.iter().zip(&units) {
                    let less = one / weight < other / other_weight - 1e-6;
                    prop_assert!(!less || *one >= cap - 1e-6);
                }
            }
        }
    }
}
