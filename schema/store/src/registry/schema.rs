//! The tables of `web.db`, as the migrations make them.

diesel::table! {
    microgrid (id) {
        id -> Text,
        name -> Text,
        time_zone -> Text,
        import_limit_watts -> Nullable<Double>,
        export_limit_watts -> Nullable<Double>,
        created -> BigInt,
    }
}

diesel::table! {
    hem (id) {
        id -> Text,
        microgrid_id -> Text,
        name -> Text,
        created -> BigInt,
        firmware -> Nullable<Text>,
        nodes -> Text,
        key_state -> Text,
        key_hash -> Binary,
        enrolled_by -> Nullable<Text>,
        import_limit_watts -> Nullable<Double>,
        export_limit_watts -> Nullable<Double>,
    }
}

diesel::table! {
    enrolment_token (id) {
        id -> Text,
        microgrid_id -> Text,
        hash -> Binary,
        uses -> BigInt,
        used -> BigInt,
        expires -> BigInt,
        created -> BigInt,
    }
}

diesel::table! {
    api_token (id) {
        id -> Text,
        name -> Text,
        hash -> Binary,
        role -> Text,
        microgrid_id -> Nullable<Text>,
        created -> BigInt,
        job_id -> Nullable<Text>,
    }
}

diesel::table! {
    job (id) {
        id -> Text,
        microgrid_id -> Text,
        app -> Text,
        configuration -> Text,
        priority -> Integer,
        created -> BigInt,
        state -> Text,
    }
}

diesel::table! {
    job_checkpoint (job_id) {
        job_id -> Text,
        cursors -> Text,
        state -> Text,
    }
}

diesel::table! {
    job_log (job_id, number) {
        job_id -> Text,
        number -> BigInt,
        at -> BigInt,
        level -> Text,
        sentence -> Text,
    }
}

diesel::table! {
    job_result (job_id, start_ms, kind, subject) {
        job_id -> Text,
        start_ms -> BigInt,
        kind -> Text,
        subject -> Text,
        end_ms -> BigInt,
        body -> Text,
    }
}

diesel::table! {
    idempotency (principal, idempotency_key) {
        principal -> Text,
        idempotency_key -> Text,
        fingerprint -> Binary,
        begun -> BigInt,
        expires -> BigInt,
        answer -> Nullable<Text>,
    }
}

diesel::table! {
    command (id) {
        id -> Text,
        microgrid_id -> Text,
        hem_id -> Text,
        node -> Nullable<Integer>,
        action -> Text,
        asker -> Text,
        reason -> Text,
        priority -> Integer,
        issued -> BigInt,
        expires -> BigInt,
        lease_ms -> Nullable<BigInt>,
        ordered -> Nullable<Text>,
        hem_order -> Nullable<BigInt>,
        acted_at -> Nullable<BigInt>,
        state -> Text,
        history -> Text,
    }
}

diesel::table! {
    open_command (microgrid_id, id) {
        microgrid_id -> Text,
        id -> Text,
        until -> BigInt,
        waits_until -> BigInt,
    }
}

diesel::table! {
    command_in_force (hem_id, node, kind) {
        hem_id -> Text,
        node -> Integer,
        kind -> Text,
        command_id -> Text,
        hem_order -> BigInt,
    }
}

diesel::table! {
    command_order (hem_id) {
        hem_id -> Text,
        highest -> BigInt,
    }
}

diesel::table! {
    process (id) {
        id -> Text,
        address -> Text,
        version -> Text,
        first_beat -> BigInt,
        last_beat -> BigInt,
        expires -> BigInt,
    }
}

diesel::table! {
    microgrid_owner (microgrid_id) {
        microgrid_id -> Text,
        process_id -> Nullable<Text>,
        epoch -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(command, open_command);
diesel::allow_tables_to_appear_in_same_query!(process, microgrid_owner);
