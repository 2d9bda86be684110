"""The first tables.

Times are milliseconds since the epoch (`_ms`), flags 0 or 1. Whatever lets its holder in (a session, a token, a link)
is stored as the hash of what the holder has.
"""

from __future__ import annotations

import secrets

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE players (
    player {identity},
    public_id TEXT NOT NULL UNIQUE,
    container TEXT NOT NULL,
    user_id TEXT NOT NULL,
    given_name TEXT NOT NULL DEFAULT '',
    family_name TEXT NOT NULL DEFAULT '',
    display_name TEXT NOT NULL DEFAULT '',
    search_name TEXT{by_bytes} NOT NULL DEFAULT '',
    thumbnail_url TEXT NOT NULL DEFAULT '',
    has_app SMALLINT,
    profile_observed_ms BIGINT NOT NULL DEFAULT 0,
    friends_synced_ms BIGINT,
    synced_ms BIGINT,
    around_ms BIGINT,
    alone_ms BIGINT,
    refused_ms BIGINT,
    refused_again_ms BIGINT,
    birthday TEXT,
    withdrawn_ms BIGINT,
    UNIQUE (container, user_id)
);
CREATE INDEX players_search_name ON players (search_name, player);
CREATE INDEX players_withdrawn ON players (player) WHERE withdrawn_ms IS NOT NULL;
CREATE INDEX players_birthday ON players (container, birthday) WHERE birthday IS NOT NULL;

CREATE TABLE friendships (
    player BIGINT NOT NULL,
    friend BIGINT NOT NULL,
    missed SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (player, friend)
) {without_rowid};
CREATE INDEX friendships_friend ON friendships (friend);

CREATE TABLE appdata (
    player BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    observed_ms BIGINT NOT NULL,
    PRIMARY KEY (player, key)
) {without_rowid};

CREATE TABLE events (
    event {identity},
    player BIGINT NOT NULL,
    key TEXT NOT NULL,
    old TEXT,
    new TEXT,
    at_ms BIGINT NOT NULL,
    origin TEXT NOT NULL
);
CREATE INDEX events_player ON events (player, key, event);

CREATE TABLE boards (
    board TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    definition TEXT NOT NULL,
    revision BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    moderated SMALLINT NOT NULL DEFAULT 0,
    since_event BIGINT NOT NULL DEFAULT 0,
    closures TEXT NOT NULL DEFAULT '[]',
    rebuilt_ms BIGINT
);

CREATE TABLE archives (
    archive {identity},
    board TEXT NOT NULL,
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    since_event BIGINT NOT NULL,
    definition TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    UNIQUE (board, generation)
);

CREATE TABLE board_tasks (
    task {identity},
    kind TEXT NOT NULL,
    board TEXT NOT NULL,
    wanted TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    done BIGINT NOT NULL DEFAULT 0,
    total BIGINT NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    holder TEXT,
    until_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX board_tasks_board ON board_tasks (board, kind, task);
CREATE INDEX board_tasks_open ON board_tasks (task) WHERE ended_ms IS NULL;

CREATE TABLE bulk_changes (
    task BIGINT NOT NULL,
    player BIGINT NOT NULL,
    was_hidden SMALLINT NOT NULL,
    was_until BIGINT,
    now_hidden SMALLINT NOT NULL,
    now_until BIGINT,
    PRIMARY KEY (task, player)
) {without_rowid};
CREATE INDEX bulk_changes_player ON bulk_changes (player);

CREATE TABLE field_writes (
    key TEXT NOT NULL,
    span TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (key, span, at_ms)
) {without_rowid};
CREATE INDEX field_writes_at ON field_writes (span, at_ms);

CREATE TABLE lists (
    list {identity},
    board TEXT NOT NULL,
    period TEXT NOT NULL,
    generation BIGINT NOT NULL,
    starts_ms BIGINT,
    ends_ms BIGINT,
    dense SMALLINT NOT NULL,
    boundaries BIGINT NOT NULL,
    UNIQUE (board, period, generation)
);

CREATE TABLE list_versions (
    list BIGINT NOT NULL,
    shard SMALLINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (list, shard)
) {often_updated};

CREATE TABLE entries (
    list BIGINT NOT NULL,
    key BIGINT NOT NULL,
    reached_ms BIGINT NOT NULL,
    player BIGINT NOT NULL,
    PRIMARY KEY (list, key, reached_ms, player)
) {without_rowid};

CREATE TABLE entries_by_player (
    player BIGINT NOT NULL,
    list BIGINT NOT NULL,
    key BIGINT NOT NULL,
    reached_ms BIGINT NOT NULL,
    PRIMARY KEY (player, list)
) {updated};

CREATE TABLE blocks (
    list BIGINT NOT NULL,
    level SMALLINT NOT NULL,
    key BIGINT NOT NULL,
    reached_ms BIGINT NOT NULL,
    player BIGINT NOT NULL,
    n BIGINT NOT NULL,
    scores BIGINT NOT NULL,
    PRIMARY KEY (list, level, key, reached_ms, player)
) {often_updated};

CREATE TABLE scores (
    list BIGINT NOT NULL,
    key BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (list, key)
) {often_updated};

CREATE TABLE moderation (
    player BIGINT NOT NULL,
    board TEXT NOT NULL,
    state TEXT NOT NULL,
    until_event BIGINT,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (player, board)
) {without_rowid};
CREATE INDEX moderation_board ON moderation (board, player);
CREATE INDEX moderation_state ON moderation (board, state, player);

CREATE TABLE adjustments (
    adjustment {identity},
    player BIGINT NOT NULL,
    board TEXT NOT NULL,
    event BIGINT NOT NULL,
    score TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX adjustments_board ON adjustments (board, player, adjustment);
CREATE INDEX adjustments_player ON adjustments (player);

CREATE TABLE cleared (
    board TEXT NOT NULL,
    player BIGINT NOT NULL,
    key BIGINT NOT NULL,
    actor TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (board, player)
) {without_rowid};
CREATE INDEX cleared_player ON cleared (player);

CREATE TABLE delisted (player BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL);

CREATE TABLE audit (
    act {identity},
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    board TEXT,
    player BIGINT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    was_until BIGINT, now_until BIGINT
);
CREATE INDEX audit_player ON audit (player, act);
CREATE INDEX audit_board ON audit (board, act);

CREATE TABLE erased (mark TEXT PRIMARY KEY) {without_rowid};

CREATE TABLE claims (
    list BIGINT NOT NULL,
    player BIGINT NOT NULL,
    score BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    full_ms BIGINT NOT NULL,
    PRIMARY KEY (list, player)
) {without_rowid};
CREATE INDEX claims_player ON claims (player);

CREATE TABLE flags (
    list BIGINT NOT NULL,
    event BIGINT NOT NULL,
    player BIGINT NOT NULL,
    score BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (list, event)
) {without_rowid};
CREATE INDEX flags_player ON flags (player, list, event);

CREATE TABLE decisions (
    board TEXT NOT NULL,
    player BIGINT NOT NULL,
    event BIGINT NOT NULL,
    decision TEXT NOT NULL,
    PRIMARY KEY (board, player, event)
) {without_rowid};
CREATE INDEX decisions_player ON decisions (player);

CREATE TABLE gadget_sessions (
    token_hash TEXT PRIMARY KEY,
    owner BIGINT,
    viewer BIGINT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX gadget_sessions_viewer ON gadget_sessions (viewer);

CREATE TABLE page_sessions (
    token_hash TEXT PRIMARY KEY,
    player BIGINT,
    storage_user TEXT,
    storage_name TEXT,
    sealed_token TEXT,
    sign_in_state TEXT,
    sign_in_back TEXT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX page_sessions_storage_user ON page_sessions (storage_user);
CREATE INDEX page_sessions_player ON page_sessions (player) WHERE player IS NOT NULL;
CREATE INDEX page_sessions_expires ON page_sessions (expires_ms);

CREATE TABLE sign_in_answers (
    answer_hash TEXT PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE sign_in_tickets (
    token_hash TEXT PRIMARY KEY,
    sealed TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE page_links (
    token_hash TEXT PRIMARY KEY,
    player BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE account_links (
    player BIGINT PRIMARY KEY,
    storage_user TEXT NOT NULL UNIQUE
);

CREATE TABLE operators (
    operator {identity},
    name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL
);

CREATE TABLE operator_sessions (
    token_hash TEXT PRIMARY KEY,
    operator BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX operator_sessions_operator ON operator_sessions (operator);

CREATE TABLE operator_tokens (
    token_hash TEXT PRIMARY KEY,
    token_id TEXT NOT NULL UNIQUE,
    operator BIGINT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT
);
CREATE INDEX operator_tokens_operator ON operator_tokens (operator);

CREATE TABLE repeated_calls (
    operator BIGINT NOT NULL,
    name TEXT NOT NULL,
    call_hash TEXT NOT NULL,
    status BIGINT,
    answer TEXT,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (operator, name)
) {without_rowid};
CREATE INDEX repeated_calls_expires ON repeated_calls (expires_ms);

CREATE TABLE nonces (
    timestamp_s BIGINT NOT NULL,
    consumer_key TEXT NOT NULL,
    nonce TEXT NOT NULL,
    PRIMARY KEY (timestamp_s, consumer_key, nonce)
) {without_rowid};

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);

CREATE TABLE sync_tasks (
    player BIGINT NOT NULL,
    kind TEXT NOT NULL,
    container TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    due_ms BIGINT NOT NULL,
    added_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    holder TEXT,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (player, kind)
) {without_rowid};
CREATE INDEX sync_tasks_order ON sync_tasks (container, priority, due_ms);
CREATE INDEX sync_tasks_holder ON sync_tasks (holder) WHERE holder IS NOT NULL;

CREATE TABLE containers (
    container TEXT PRIMARY KEY,
    next_us BIGINT NOT NULL,
    closed_until_ms BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    halted_ms BIGINT,
    probed_until_ms BIGINT NOT NULL,
    planned_ms BIGINT NOT NULL
);

CREATE TABLE appdata_writes (
    write {identity},
    player BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    rule TEXT,
    occasion TEXT,
    due_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    detail TEXT,
    holder TEXT,
    until_ms BIGINT NOT NULL,
    done_ms BIGINT,
    UNIQUE (rule, player, occasion)
);
CREATE INDEX appdata_writes_due ON appdata_writes (state, due_ms);
CREATE INDEX appdata_writes_player ON appdata_writes (player);

CREATE TABLE counters (
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name, label)
) {without_rowid};

CREATE TABLE limits (
    name TEXT PRIMARY KEY,
    starts_ms BIGINT NOT NULL,
    used BIGINT NOT NULL
);

CREATE TABLE uploads (
    upload TEXT PRIMARY KEY,
    storage_user TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    received_bytes BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    browser TEXT NOT NULL,
    storage TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    code TEXT,
    detail TEXT,
    portal_url TEXT,
    content_id TEXT,
    folder_id TEXT,
    sealed_token TEXT,
    failures BIGINT NOT NULL DEFAULT 0,
    token_refusals BIGINT NOT NULL DEFAULT 0,
    whole_first SMALLINT NOT NULL DEFAULT 0,
    cuts BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX uploads_user ON uploads (storage_user, created_ms);
CREATE INDEX uploads_created ON uploads (created_ms);
CREATE INDEX uploads_updated ON uploads (updated_ms);
CREATE INDEX uploads_open ON uploads (storage_user) WHERE storage NOT IN ('cancelled', 'expired', 'refused', 'stored');
CREATE INDEX uploads_open_created ON uploads (created_ms)
    WHERE storage NOT IN ('cancelled', 'expired', 'refused', 'stored');

CREATE TABLE step_one (
    only_row SMALLINT PRIMARY KEY,
    refused_user TEXT NOT NULL,
    code TEXT,
    detail TEXT NOT NULL,
    refused_ms BIGINT NOT NULL,
    paused SMALLINT NOT NULL,
    next_try_ms BIGINT NOT NULL,
    pause_ms BIGINT NOT NULL
)
"""

IDENTITY = {
    # AUTOINCREMENT: a number is never used again, so nobody inherits what a deleted player left in a cursor or a link.
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
}
# Texts are compared by their bytes, as SQLite does anyway: what begins with a word is one range of an index.
BY_BYTES = {"sqlite": "", "postgresql": ' COLLATE "C"'}
WITHOUT_ROWID = {"sqlite": "WITHOUT ROWID", "postgresql": ""}
# Room for the next version of a row beside this one: then no index entry is written.
OFTEN_UPDATED = {"sqlite": "WITHOUT ROWID", "postgresql": "WITH (fillfactor = 40)"}
UPDATED = {"sqlite": "WITHOUT ROWID", "postgresql": "WITH (fillfactor = 80)"}


def upgrade() -> None:
    """Create the tables, and the erasure key: random, made once, never derived from a secret that is rotated."""
    engine = op.get_bind().dialect.name
    tables = TABLES.format(
        identity=IDENTITY[engine],
        without_rowid=WITHOUT_ROWID[engine],
        often_updated=OFTEN_UPDATED[engine],
        updated=UPDATED[engine],
        by_bytes=BY_BYTES[engine],
    )
    for statement in tables.split(";"):
        op.execute(statement)
    op.get_bind().execute(
        text("INSERT INTO meta (name, value) VALUES ('erasure_key', :key)"), {"key": secrets.token_hex(32)}
    )
