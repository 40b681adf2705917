"""The process that takes images from Redis, embeds them and writes the answers."""
