"""The operator's admin site: start page, jobs, data sets, models, people, tokens, workers."""
