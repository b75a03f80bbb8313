//! The tables of `iot.db`, as `migrations/telemetry` makes them.

diesel::table! {
    hems (hem_no) {
        hem_no -> BigInt,
        hem -> Text,
        microgrid -> Text,
        day_zone -> Text,
    }
}

diesel::table! {
    marks (hem_no) {
        hem_no -> BigInt,
        mark -> BigInt,
        epoch -> BigInt,
        hot -> BigInt,
        chunks -> BigInt,
        sealed -> BigInt,
        sealed_bytes -> BigInt,
    }
}

diesel::table! {
    microgrids (microgrid) {
        microgrid -> Text,
        time_zone -> Text,
    }
}

diesel::table! {
    hot_runs (id) {
        id -> BigInt,
        hem_no -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        min_ts -> BigInt,
        max_ts -> BigInt,
        readings -> BigInt,
        payload -> Binary,
    }
}

diesel::table! {
    chunks (id) {
        id -> BigInt,
        hem_no -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        min_ts -> BigInt,
        max_ts -> BigInt,
        readings -> BigInt,
        payload -> Binary,
    }
}

diesel::table! {
    events (id) {
        id -> BigInt,
        hem_no -> BigInt,
        seq -> BigInt,
        ts -> BigInt,
        payload -> Binary,
    }
}

diesel::table! {
    refusals (hem_no, seq) {
        hem_no -> BigInt,
        seq -> BigInt,
        received -> BigInt,
        code -> Text,
    }
}

diesel::table! {
    rollups (hem_no, level, bucket) {
        hem_no -> BigInt,
        level -> Integer,
        bucket -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        payload -> Binary,
    }
}

diesel::table! {
    dirty (hem_no, level, bucket) {
        hem_no -> BigInt,
        level -> Integer,
        bucket -> BigInt,
        from_seq -> BigInt,
        due -> BigInt,
    }
}

diesel::joinable!(marks -> hems (hem_no));
diesel::allow_tables_to_appear_in_same_query!(hems, marks, microgrids);
