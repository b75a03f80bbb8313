//! What a core does of the protocol: `cargo bench -p memcloud-wire`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memcloud_domain::{
    Amps, Hertz, NodeId, NodeReading, Seq, StateOfCharge, Timestamp, Vars, Volts, WattHours, Watts,
};
use memcloud_wire::{Ack, CloudFrame, HemFrame, LineDecoder, MAX_FRAME, Sample, SampleTime};

/// A reading of a usual home: 8 nodes, about 667 bytes.
fn usual_sample(seq: u64) -> Sample {
    let nodes = (0..8_u8).map(|node| {
        let share = f64::from(node);
        NodeReading {
            watts: Some(Watts(-1204.5 + 211.25 * share)),
            volts: Some(Volts((2_301.0 + share) / 10.0)),
            amps: (node < 6).then_some(Amps(5.24)),
            wh_in: Some(WattHours(1_204_553.25 + share)),
            wh_out: (node < 1).then_some(WattHours(40_553.5)),
            vars: (node == 0).then_some(Vars(-31.5)),
            hertz: (node == 0).then_some(Hertz(50.01)),
            soc: (node == 2).then_some(StateOfCharge(0.625)),
            on: Some(true),
            ..NodeReading::empty(NodeId(node))
        }
    });
    Sample {
        seq: Seq(seq),
        time: SampleTime::At(Timestamp(1_790_000_000_000)),
        nodes: nodes.collect(),
    }
}

fn line(frame: &HemFrame) -> Vec<u8> {
    let mut line = Vec::new();
    frame.encode(&mut line);
    line
}

fn codec(criterion: &mut Criterion) {
    let reading = HemFrame::Reading(usual_sample(1_000_000));
    let batch = HemFrame::Batch((1..=500).map(|seq| Ok(usual_sample(seq))).collect());

    let mut group = criterion.benchmark_group("decode");
    for (name, frame) in [("reading of 8 nodes", &reading), ("batch of 500", &batch)] {
        let bytes = line(frame);
        group.throughput(Throughput::Elements(u64::try_from(frame.numbers()).unwrap_or(1)));
        group.bench_with_input(BenchmarkId::new(name, bytes.len()), &bytes, |bencher, bytes| {
            bencher.iter(|| HemFrame::decode(black_box(bytes), 500));
        });
    }
    let ack = br#"{"type":"ack","seq":123456789}"#;
    group.throughput(Throughput::Elements(1));
    group.bench_function("ack", |bencher| bencher.iter(|| CloudFrame::decode(black_box(ack))));
    group.finish();

    let mut group = criterion.benchmark_group("lines and decode");
    let stream: Vec<u8> = (0..25).flat_map(|_| line(&reading)).collect();
    let record = stream.get(..16_384.min(stream.len())).unwrap_or_default().to_vec();
    group.throughput(Throughput::Bytes(u64::try_from(record.len()).unwrap_or(1)));
    group.bench_function("a TLS record of readings", |bencher| {
        let mut decoder = LineDecoder::new(usize::try_from(MAX_FRAME).unwrap_or(usize::MAX));
        bencher.iter(|| {
            let mut lines = decoder.lines(black_box(&record));
            let mut taken = 0;
            while let Ok(Some(line)) = lines.next_line() {
                taken += usize::from(HemFrame::decode(line, 500).is_ok());
            }
            taken
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(1_024);
    group.throughput(Throughput::Elements(1));
    group.bench_function("reading of 8 nodes", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&reading).encode(&mut out);
            out.len()
        });
    });
    group.bench_function("ack", |bencher| {
        bencher.iter(|| {
            out.clear();
            CloudFrame::Ack(Ack { seq: black_box(Seq(123_456_789)) }).encode(&mut out);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
