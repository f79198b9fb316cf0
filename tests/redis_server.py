from scripts.redis_server import RedisServer, executable, free_port  # noqa: F401
