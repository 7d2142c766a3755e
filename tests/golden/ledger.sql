CREATE TABLE syncd_aliases (
	old VARCHAR(200) NOT NULL,
	site VARCHAR(200) NOT NULL,
	PRIMARY KEY (old)
)
CREATE TABLE syncd_audit (
	stream VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	at BIGINT NOT NULL,
	event VARCHAR(40) NOT NULL,
	outcome VARCHAR(16),
	site VARCHAR(200),
	name TEXT,
	job VARCHAR(200),
	actor TEXT NOT NULL,
	line TEXT NOT NULL,
	hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (stream, seq)
)
CREATE INDEX syncd_audit_at ON syncd_audit (at)
CREATE INDEX syncd_audit_name ON syncd_audit (name)
CREATE TABLE syncd_audit_checkpoints (
	stream VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (stream)
)
CREATE TABLE syncd_audit_findings (
	stream VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	event VARCHAR(40) NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (stream, job, event, name)
)
CREATE TABLE syncd_audit_heads (
	stream VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (stream)
)
CREATE TABLE syncd_audit_open (
	stream VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (stream, seq)
)
CREATE TABLE syncd_audit_pruned (
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (id)
)
CREATE TABLE syncd_audit_shipped (
	sink TEXT NOT NULL,
	stream VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	PRIMARY KEY (sink, stream)
)
CREATE TABLE syncd_batches (
	batch VARCHAR(12) NOT NULL,
	since BIGINT NOT NULL,
	released_at BIGINT,
	released_by TEXT NOT NULL,
	PRIMARY KEY (batch)
)
CREATE TABLE syncd_counts (
	site VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	status VARCHAR(16) NOT NULL,
	is_open BOOLEAN NOT NULL,
	unverified BOOLEAN NOT NULL,
	count BIGINT NOT NULL,
	PRIMARY KEY (site, job, status, is_open, unverified)
)
CREATE TABLE syncd_facts (
	site VARCHAR(200) NOT NULL,
	name VARCHAR(64) NOT NULL,
	digest VARCHAR(8) NOT NULL,
	ref TEXT NOT NULL,
	version TEXT NOT NULL,
	fault TEXT NOT NULL,
	PRIMARY KEY (site, name, digest)
)
CREATE TABLE syncd_grants (
	site VARCHAR(200) NOT NULL,
	name VARCHAR(64) NOT NULL,
	at BIGINT NOT NULL,
	until BIGINT NOT NULL,
	remote_id VARCHAR(64) NOT NULL,
	owner TEXT NOT NULL,
	PRIMARY KEY (site, name)
)
CREATE TABLE syncd_held (
	site VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	name VARCHAR(64) NOT NULL,
	cause VARCHAR(120) NOT NULL,
	target VARCHAR(200) NOT NULL,
	action VARCHAR(8) NOT NULL,
	ref TEXT NOT NULL,
	from_version TEXT NOT NULL,
	to_version TEXT NOT NULL,
	remote_id VARCHAR(64) NOT NULL,
	batch VARCHAR(12) NOT NULL,
	since BIGINT NOT NULL,
	released_at BIGINT,
	released_by TEXT NOT NULL,
	PRIMARY KEY (site, job, name, cause)
)
CREATE INDEX ix_syncd_held_batch ON syncd_held (batch)
CREATE TABLE syncd_history (
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	noted_at BIGINT NOT NULL,
	site VARCHAR(200) NOT NULL,
	target VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	name VARCHAR(64) NOT NULL,
	action VARCHAR(16) NOT NULL,
	outcome TEXT NOT NULL,
	result VARCHAR(8),
	remote_id VARCHAR(64) NOT NULL,
	version TEXT NOT NULL,
	request_id TEXT NOT NULL,
	PRIMARY KEY (id)
)
CREATE INDEX ix_syncd_history_at ON syncd_history (at)
CREATE INDEX ix_syncd_history_name ON syncd_history (name)
CREATE INDEX ix_syncd_history_noted_at ON syncd_history (noted_at)
CREATE TABLE syncd_ids (
	remote_id VARCHAR(64) NOT NULL,
	adopted BOOLEAN NOT NULL,
	frozen_until BIGINT,
	seal BIGINT,
	PRIMARY KEY (remote_id)
)
CREATE TABLE syncd_joined_sites (
	old VARCHAR(200) NOT NULL,
	site VARCHAR(200) NOT NULL,
	PRIMARY KEY (old)
)
CREATE TABLE syncd_listings (
	site VARCHAR(200) NOT NULL,
	remote_id VARCHAR(64) NOT NULL,
	name TEXT NOT NULL,
	owner TEXT NOT NULL,
	updated_at BIGINT,
	seen_at BIGINT NOT NULL,
	PRIMARY KEY (site, remote_id)
)
CREATE TABLE syncd_locks (
	site VARCHAR(200) NOT NULL,
	holder TEXT NOT NULL,
	since BIGINT NOT NULL,
	PRIMARY KEY (site)
)
CREATE TABLE syncd_meta (
	"key" VARCHAR(64) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
)
CREATE TABLE syncd_mounts (
	source VARCHAR(200) NOT NULL,
	mount TEXT NOT NULL,
	mount_id TEXT NOT NULL,
	seal BIGINT,
	PRIMARY KEY (source, mount)
)
CREATE TABLE syncd_news (
	job VARCHAR(200) NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (job)
)
CREATE TABLE syncd_notices (
	cause VARCHAR(400) NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (cause)
)
CREATE TABLE syncd_paths (
	source VARCHAR(200) NOT NULL,
	path TEXT NOT NULL,
	pin VARCHAR(200) NOT NULL,
	version TEXT NOT NULL,
	number BIGINT,
	lineage TEXT NOT NULL,
	fields TEXT,
	updated_at BIGINT,
	owner TEXT DEFAULT '' NOT NULL,
	seen_at BIGINT,
	older_token TEXT NOT NULL,
	older_count INTEGER NOT NULL,
	older_at BIGINT,
	seal BIGINT,
	PRIMARY KEY (source, path, pin)
)
CREATE TABLE syncd_pauses (
	scope VARCHAR(8) NOT NULL,
	name VARCHAR(200) NOT NULL,
	site VARCHAR(200) NOT NULL,
	at BIGINT NOT NULL,
	until BIGINT,
	"by" TEXT NOT NULL,
	reason TEXT NOT NULL,
	end_told BOOLEAN NOT NULL,
	PRIMARY KEY (scope, name, site)
)
CREATE TABLE syncd_records (
	site VARCHAR(200) NOT NULL,
	name VARCHAR(64) NOT NULL,
	target VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	source VARCHAR(200) NOT NULL,
	path TEXT NOT NULL,
	field TEXT,
	pin VARCHAR(200) NOT NULL,
	remote_id VARCHAR(64),
	adopted BOOLEAN NOT NULL,
	description TEXT NOT NULL,
	version TEXT NOT NULL,
	fingerprint VARCHAR(64),
	pending VARCHAR(8),
	pending_at BIGINT,
	unverified BOOLEAN NOT NULL,
	theirs BOOLEAN NOT NULL,
	remarked BOOLEAN NOT NULL,
	window_start BIGINT,
	window_end BIGINT,
	pinned_at BIGINT,
	last_synced_at BIGINT,
	source_updated_at BIGINT,
	verified_at BIGINT,
	unlisted_tried_at BIGINT,
	doubted_at BIGINT,
	lost_writes TEXT NOT NULL,
	restores TEXT NOT NULL,
	absent_at BIGINT,
	absent_for BIGINT NOT NULL,
	frozen_until BIGINT,
	status VARCHAR(16) NOT NULL,
	seal BIGINT,
	PRIMARY KEY (site, name)
)
CREATE INDEX syncd_records_by_age ON syncd_records (coalesce(source_updated_at, 0), site, name)
CREATE INDEX syncd_records_by_arrival ON syncd_records (coalesce(last_synced_at, 0), site, name)
CREATE INDEX syncd_records_by_name ON syncd_records (name, site)
CREATE INDEX syncd_records_by_path ON syncd_records (source, path)
CREATE INDEX syncd_records_by_remote_id ON syncd_records (remote_id)
CREATE INDEX syncd_records_by_status ON syncd_records (status, name, site)
CREATE INDEX syncd_records_by_value ON syncd_records (fingerprint) WHERE fingerprint IS NOT NULL
CREATE INDEX syncd_records_frozen ON syncd_records (frozen_until) WHERE frozen_until IS NOT NULL
CREATE INDEX syncd_records_open ON syncd_records (name) WHERE pending IS NOT NULL OR remote_id IS NULL
CREATE INDEX syncd_records_unverified ON syncd_records (name) WHERE unverified
CREATE UNIQUE INDEX syncd_records_by_id ON syncd_records (site, remote_id)
CREATE TABLE syncd_requests (
	id INTEGER NOT NULL,
	site VARCHAR(200) NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (id)
)
CREATE INDEX syncd_requests_by_site ON syncd_requests (site, at)
CREATE TABLE syncd_rollbacks (
	source VARCHAR(200) NOT NULL,
	path TEXT NOT NULL,
	version TEXT NOT NULL,
	number BIGINT,
	lineage TEXT NOT NULL,
	label TEXT NOT NULL,
	at BIGINT NOT NULL,
	until BIGINT NOT NULL,
	"by" TEXT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (source, path)
)
CREATE TABLE syncd_runs (
	job VARCHAR(200) NOT NULL,
	site VARCHAR(200) NOT NULL,
	target VARCHAR(200) NOT NULL,
	started_at BIGINT NOT NULL,
	finished_at BIGINT NOT NULL,
	exit_code INTEGER NOT NULL,
	message TEXT NOT NULL,
	succeeded_at BIGINT,
	counts TEXT NOT NULL,
	recent TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (job, site)
)
CREATE TABLE syncd_sessions (
	hash VARCHAR(64) NOT NULL,
	name VARCHAR(100) NOT NULL,
	credential VARCHAR(64) NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (hash)
)
CREATE TABLE syncd_troubles (
	site VARCHAR(200) NOT NULL,
	job VARCHAR(200) NOT NULL,
	subject TEXT NOT NULL,
	kind VARCHAR(16) NOT NULL,
	message TEXT NOT NULL,
	hint TEXT NOT NULL,
	ref TEXT NOT NULL,
	version TEXT NOT NULL,
	rule VARCHAR(16) NOT NULL,
	attempts INTEGER NOT NULL,
	first_at BIGINT NOT NULL,
	retry_at BIGINT,
	PRIMARY KEY (site, job, subject)
)
