"""Is a history of concurrent operations one that a single object, asked one thing at a time, could have given (linearizability)?"""
