// SPDX-License-Identifier: Apache-2.0
// The table behind the configuration, for the files that make it up; everybody else reads struct config.
#ifndef TILL_SHELL_CONFIG_KEYS_H
#define TILL_SHELL_CONFIG_KEYS_H

#include "shell/config.h"
#include "shell/config_value.h"

struct key {
    const char *section, *name;
    size_t offset; // of the field in struct config
    struct value_rule rule;
    const char *initial, *initial_dev; // defaults; the latter is that of `till dev`, NULL: the same
    const char *meaning;
};

extern const struct key config_keys[];
extern const unsigned config_n_keys;

const struct key *config_find_key(struct str section, struct str name); // NULL: there is none
const struct key *config_find_full_key(struct str full);                // "section.name"
bool config_has_section(struct str section);

#endif
