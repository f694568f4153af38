/**
 * The {@code whetstream} command.
 *
 * <p>One class a subcommand, registered in {@link io.whetstream.cli.Commands}. Conventions for all:
 * bad input is a {@link io.whetstream.model.BadInputException} and ends with exit code 2, anything
 * else that fails with 1, each with one message on standard error; with {@code --json} the last
 * line of standard output is the result; progress goes to standard error.
 */
package io.whetstream.cli;
