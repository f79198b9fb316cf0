"""What a vLLM needs to be sent images as ``image_embeds`` by heroserve; see docs/vllm.md."""
