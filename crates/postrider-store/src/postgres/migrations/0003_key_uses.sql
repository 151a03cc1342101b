-- When a key was last used, written behind and to about a minute.
ALTER TABLE account_keys ADD COLUMN last_used_at bigint;
