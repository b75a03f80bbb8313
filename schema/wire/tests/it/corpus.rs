//! The committed corpus: each file holds frames of one outcome, which its name says.

use memcloud_wire::{CloudFrame, ErrorCode, FrameFault, Greeting, HelloFault, HemFrame};

use crate::mutator::{
    CLOUD_BAD, CLOUD_GOOD, HELLO_BAD_FRAME, HELLO_UNAUTHORISED, HELLO_UNSUPPORTED, HEM_BAD_FRAME,
    HEM_GOOD, HEM_MALFORMED, HEM_UNKNOWN_TYPE,
};

fn hem(line: &str) -> Result<HemFrame, FrameFault> {
    HemFrame::decode(line.as_bytes(), 500)
}

/// The first fault that the server would act on, in the order of the checks.
fn greet(line: &str) -> Result<(), HelloFault> {
    let greeting = Greeting::decode(line.as_bytes())?;
    greeting.hem?;
    greeting.nodes?;
    Ok(())
}

#[test]
fn good_frames_are_taken() {
    for line in HEM_GOOD.lines() {
        hem(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
    }
    for line in CLOUD_GOOD.lines() {
        CloudFrame::decode(line.as_bytes()).unwrap_or_else(|fault| panic!("{line}: {fault}"));
    }
}

#[test]
fn a_usable_number_makes_a_wrong_frame_malformed() {
    for line in HEM_MALFORMED.lines() {
        let fault = hem(line).expect_err(line);
        assert!(
            matches!(&fault, FrameFault::Unstorable(wrong) if wrong.seq.0 == 1),
            "{line}: {fault:?}"
        );
    }
}

#[test]
fn without_one_it_is_a_bad_frame() {
    for line in HEM_BAD_FRAME.lines() {
        let fault = hem(line).expect_err(line);
        assert!(matches!(fault, FrameFault::BadFrame(_)), "{line}: {fault:?}");
    }
}

#[test]
fn a_type_that_is_not_known_is_said_to_be() {
    for line in HEM_UNKNOWN_TYPE.lines() {
        let fault = hem(line).expect_err(line);
        assert!(matches!(fault, FrameFault::UnknownType(_)), "{line}: {fault:?}");
    }
}

#[test]
fn a_first_frame_is_checked_in_order() {
    for (lines, code) in [
        (HELLO_BAD_FRAME, ErrorCode::BadFrame),
        (HELLO_UNAUTHORISED, ErrorCode::Unauthorised),
        (HELLO_UNSUPPORTED, ErrorCode::UnsupportedProtocol),
    ] {
        for line in lines.lines() {
            assert_eq!(greet(line).expect_err(line).code, code, "{line}");
        }
    }
    for line in HEM_GOOD.lines().filter(|line| line.contains("hello")) {
        greet(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
    }
}

#[test]
fn a_client_passes_over_what_is_wrong_with_the_cloud() {
    for line in CLOUD_BAD.lines() {
        let fault = CloudFrame::decode(line.as_bytes()).expect_err(line);
        assert!(matches!(fault, FrameFault::BadFrame(_)), "{line}: {fault:?}");
    }
}
